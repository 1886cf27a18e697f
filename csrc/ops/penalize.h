#pragma once
#include "ops/declare.h"

namespace hb {

struct Penalize {
  TensorView logits;   // [N V]
  TensorView penalty;  // [B]
  TensorView history;  // [B L]
  TensorView count;    // [B]
  TensorView seq;      // [N]
  TensorView token;    // [N], may be absent
  TensorView parent;   // [N], may be absent
  TensorView first;    // [F], may be absent
  TensorView rows;     // [1], may be absent
};

inline constexpr Operand penalize_operands[] = {
    HB_STATE(Penalize, logits, kF32, '-', "N V", "scores"),
    HB_IN(Penalize, penalty, kF32, '-', "B", "repetition penalty of each sequence; 1, 0 or less, or NaN: none"),
    HB_IN(Penalize, history, kI32, '-', "B L", "the tokens of each answer"),
    HB_IN(Penalize, count, kI32, '-', "B", "how many; clamped to [0, L]"),
    HB_IN(Penalize, seq, kI32, '-', "N", "sequence of each row; clamped to [0, B)"),
    HB_OPT(Penalize, token, kI32, '-', "N", "token of each row of a draft tree; the root's is part of the history"),
    HB_OPT(Penalize, parent, kI32, '-', "N", "its parent, counted from the tree's root; -1 for a root"),
    HB_OPT(Penalize, first, kI32, '-', "F", "first row of each sequence, and one past the last: F = B + 1"),
    HB_ROWS(Penalize),
};

inline Status penalize_rules(void* args) {
  auto& a = *static_cast<Penalize*>(args);
  if (a.token.present != a.parent.present)
    return Status::mismatch(Code::BAD_SHAPE, "parent", "token, parent and first together", "only some of them");
  if (a.token.present != a.first.present)
    return Status::mismatch(Code::BAD_SHAPE, "first", "token, parent and first together", "only some of them");
  if (a.first && a.first.dims[0] != a.penalty.dims[0] + 1)
    return Status::mismatch(Code::BAD_SHAPE, "first", num(a.penalty.dims[0] + 1), num(a.first.dims[0]));
  return Status::success();
}

inline Cost penalize_cost(const void* args) {
  auto& a = *static_cast<const Penalize*>(args);
  const double n = static_cast<double>(live_rows(a.rows, a.logits.dims[0]));
  return {0, n * 12 * static_cast<double>(a.history.dims[1])};
}

inline constexpr Contract penalize_contract = costing_data(contract<Penalize>(
    "penalize",
    "Repetition penalty: tokens that the answer already holds, on the row's own path too, become less likely.",
    "for every distinct token of the history and of the row's path below the root: logit = logit > 0 ? logit / penalty "
    ": logit * penalty. Tokens out of [0, V) count for nothing",
    penalize_operands, penalize_rules, penalize_cost, "N"));

}  // namespace hb
