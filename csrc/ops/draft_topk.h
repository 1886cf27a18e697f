#pragma once
#include "ops/declare.h"

namespace hb {

inline constexpr int64_t kDraftBranch = 32;  ///< most children of a drafted node

struct DraftTopk {
  TensorView logits;       // [N V] f32
  TensorView seq;          // [N]
  TensorView temperature;  // [B]
  TensorView seed;         // [B 2]
  TensorView output;       // [B]
  TensorView ids;          // [V], may be absent
  TensorView rows;         // [1], may be absent
  TensorView token;        // [N K]
  TensorView value;        // [N K]
  int64_t k, depth;
  double beta;
};

inline constexpr Operand draft_topk_operands[] = {
    HB_IN(DraftTopk, logits, kF32, '-', "N V", "scores over the draft vocabulary"),
    HB_IN(DraftTopk, seq, kI32, '-', "N", "sequence of each row; clamped to [0, B)"),
    HB_IN(DraftTopk, temperature, kF32, '-', "B", "0 (or less, or NaN): no noise"),
    HB_IN(DraftTopk, seed, kI32, '-', "B 2", "low and high half of the 64-bit seed"),
    HB_IN(DraftTopk, output, kI32, '-', "B", "index in the answer of the next token, a child of the root"),
    HB_OPT(DraftTopk, ids, kI32, '-', "V",
           "target id of each draft id, all different; without it they are the same. Negative: never drafted"),
    HB_ROWS(DraftTopk),
    HB_OUT(DraftTopk, token, kI32, '-', "N K", "target ids of the k best, best first; -1 where there are no more"),
    HB_OUT(DraftTopk, value, kF32, '-', "N K", "their logarithms, at most 0; -inf beside -1"),
};
inline constexpr Attribute draft_topk_attributes[] = {
    HB_INT(DraftTopk, k, 1, kDraftBranch, kNone, "children per row"),
    HB_INT(DraftTopk, depth, 0, 127, 0, "depth of the rows' nodes; 0: the root. Noise is that of output + depth"),
    HB_REAL(DraftTopk, beta, 1e-3, 1e3, 1, "temperature of the values where there is noise"),
};

inline Status draft_topk_rules(void* args) {
  auto& a = *static_cast<DraftTopk*>(args);
  if (a.logits.dims[1] < 1) return Status::mismatch(Code::BAD_SHAPE, "logits", "at least one column", "none");
  if (a.temperature.dims[0] < 1) return Status::mismatch(Code::BAD_SHAPE, "temperature", "at least one", "none");
  set_dims(a.token, a.logits.dims[0], a.k);
  set_dims(a.value, a.logits.dims[0], a.k);
  return Status::success();
}

inline Cost draft_topk_cost(const void* args) {
  auto& a = *static_cast<const DraftTopk*>(args);
  return {30.0 * static_cast<double>(a.logits.elements()), bytes_of(a.logits)};
}

inline constexpr Contract draft_topk_contract = contract<DraftTopk>(
    "draft_topk",
    "The k likeliest next tokens of each drafted node, under the very noise that will choose the target's.",
    "score = (logit - largest logit) / temperature + G(seed, output + depth, ids[i]), G as in sample; without noise "
    "logit - largest logit. Larger scores first, lower draft ids on ties; -inf is never drafted. value = score / beta "
    "- "
    "log sum exp(score / beta), beta 1 without noise: the coupled rule of drafter-invariant sampling (Daliri et al. "
    "2024, arXiv 2408.07978). A row with NaN or +inf, or of -inf only, sets the not-a-number flag and drafts nothing",
    draft_topk_operands, draft_topk_attributes, draft_topk_rules, draft_topk_cost, "N");

}  // namespace hb
