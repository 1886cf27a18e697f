#pragma once
#include "ops/declare.h"
#include "ops/draft_topk.h"

namespace hb {

struct DraftExpand {
  TensorView token;           // [N K]
  TensorView value;           // [N K]
  TensorView seq;             // [N]
  TensorView node;            // [N], may be absent
  TensorView reached;         // [N], may be absent
  TensorView ancestors;       // [N 4], may be absent
  TensorView rows;            // [1]
  TensorView positions;       // [B]
  TensorView slots;           // [B]
  TensorView capacity;        // [B]
  TensorView stop;            // [B T], may be absent
  TensorView tokens;          // [B C]
  TensorView parents;         // [B C]
  TensorView values;          // [B C]
  TensorView count;           // [B]
  TensorView next_token;      // [M], M = B K
  TensorView next_source;     // [M]
  TensorView next_seq;        // [M]
  TensorView next_position;   // [M]
  TensorView next_slot;       // [M]
  TensorView next_visible;    // [M]
  TensorView next_own;        // [M 2]
  TensorView next_ancestors;  // [M 4]
  TensorView next_node;       // [M]
  TensorView next_reached;    // [M]
  TensorView next_rows;       // [1]
  int64_t level;
};

inline constexpr Operand draft_expand_operands[] = {
    HB_IN(DraftExpand, token, kI32, '-', "N K", "children of each row's node, from draft_topk; negative: none"),
    HB_IN(DraftExpand, value, kF32, '-', "N K", "their logarithms"),
    HB_IN(DraftExpand, seq, kI32, '-', "N", "sequence of each row, ascending"),
    HB_OPT(DraftExpand, node, kI32, '-', "N", "candidate that the row's node is; without it roots"),
    HB_OPT(DraftExpand, reached, kF32, '-', "N", "value of that candidate; 0 for roots"),
    HB_OPT(DraftExpand, ancestors, kI32, '-', "N 4", "128 bits: slots from the root's on that its path fills"),
    HB_IN(DraftExpand, rows, kI32, '-', "1", "rows in use; clamped to [0, N]"),
    HB_IN(DraftExpand, positions, kI32, '-', "B", "rotary position of the root"),
    HB_IN(DraftExpand, slots, kI32, '-', "B", "its cache slot: the committed length"),
    HB_IN(DraftExpand, capacity, kI32, '-', "B", "cache slots that the sequence's pages hold"),
    HB_OPT(DraftExpand, stop, kI32, '-', "B T", "tokens that end the answer: never drafted; negative: unused"),
    HB_STATE(DraftExpand, tokens, kI32, '-', "B C", "candidates of each sequence"),
    HB_STATE(DraftExpand, parents, kI32, '-', "B C",
             "candidate that each follows, an index below its own; -1: the root"),
    HB_STATE(DraftExpand, values, kF32, '-', "B C", "their values; -inf: unused"),
    HB_STATE(DraftExpand, count, kI32, '-', "B", "one past the last candidate of each sequence"),
    HB_OUT(DraftExpand, next_token, kI32, '-', "M", "the rows of the next level, at most K per sequence: their tokens"),
    HB_OUT(DraftExpand, next_source, kI32, '-', "M", "row of this level whose output is their feature"),
    HB_OUT(DraftExpand, next_seq, kI32, '-', "M", "sequence"),
    HB_OUT(DraftExpand, next_position, kI32, '-', "M", "rotary position: the root's plus level - 1"),
    HB_OUT(DraftExpand, next_slot, kI32, '-', "M", "cache slot: the root's plus (level - 1) K + rank; -1 beyond"),
    HB_OUT(DraftExpand, next_visible, kI32, '-', "M", "slots below the root's"),
    HB_OUT(DraftExpand, next_own, kI32, '-', "M 2", "slots of the rows of all levels"),
    HB_OUT(DraftExpand, next_ancestors, kI32, '-', "M 4", "which of them the row sees: its path and itself"),
    HB_OUT(DraftExpand, next_node, kI32, '-', "M", "candidate that the row is"),
    HB_OUT(DraftExpand, next_reached, kF32, '-', "M", "its value"),
    HB_OUT(DraftExpand, next_rows, kI32, '-', "1", "rows in use"),
};
inline constexpr Attribute draft_expand_attributes[] = {
    HB_INT(DraftExpand, level, 1, 128, kNone, "depth of the children; level * K is at most 128"),
};

/// Candidates of the levels below `level` when every node has k children and the best k go on.
inline int64_t draft_candidates(int64_t level, int64_t k) { return level <= 1 ? 0 : k + (level - 2) * k * k; }

inline Status draft_expand_rules(void* args) {
  auto& a = *static_cast<DraftExpand*>(args);
  const int64_t k = a.token.dims[1], b = a.count.dims[0], c = a.tokens.dims[1];
  if (k < 1 || k > kDraftBranch)
    return Status::mismatch(Code::BAD_SHAPE, "token", "1 to " + num(kDraftBranch) + " columns", num(k));
  if (a.level * k > 128)
    return Status::mismatch(Code::BAD_OPTION, "level", "at most " + num(128 / k) + " with " + num(k) + " children",
                            num(a.level));
  if (a.node.present != a.reached.present || a.node.present != a.ancestors.present)
    return Status::mismatch(Code::BAD_SHAPE, a.node ? (a.reached ? "ancestors" : "reached") : "node",
                            "node, reached and ancestors together", "only some of them");
  if (c < draft_candidates(a.level + 1, k))
    return Status::mismatch(Code::BAD_SHAPE, "tokens",
                            "at least " + num(draft_candidates(a.level + 1, k)) + " candidates", num(c));
  for (TensorView* t : {&a.next_token, &a.next_source, &a.next_seq, &a.next_position, &a.next_slot, &a.next_visible,
                        &a.next_node, &a.next_reached})
    set_dims(*t, b * k);
  set_dims(a.next_own, b * k, 2);
  set_dims(a.next_ancestors, b * k, 4);
  return Status::success();
}

inline Cost draft_expand_cost(const void* args) {
  auto& a = *static_cast<const DraftExpand*>(args);
  return {0, 5 * bytes_of(a.token) + 14 * bytes_of(a.next_token)};
}

inline constexpr Contract draft_expand_contract = contract<DraftExpand>(
    "draft_expand",
    "One level of a dynamic draft tree: its children become candidates, the best of them the rows of the next level.",
    "candidate c (level 1) or K + (level - 2) K^2 + j K + c: child c of the sequence's row j, value = "
    "reached + value; the rest of the level is -inf, count ends with it. The K children with the largest values (lower "
    "candidates first on ties) are run next, if their slot is below capacity (EAGLE-2, arXiv 2406.16858). Sequences "
    "without rows keep their candidates. Rows beyond next_rows hold 0, slot -1; a sequence out of range or out of "
    "order, or a row too many, is left out and flagged",
    draft_expand_operands, draft_expand_attributes, draft_expand_rules, draft_expand_cost);

}  // namespace hb
