#pragma once
#include "ops/declare.h"

namespace hb {

struct DraftExtend {
  TensorView target;     // [N]
  TensorView path;       // [B W]
  TensorView accepted;   // [B]
  TensorView first;      // [F], F = B + 1
  TensorView positions;  // [B]
  TensorView slots;      // [B]
  TensorView finished;   // [B]
  TensorView wanted;     // [B], may be absent
  TensorView source;     // [N]
  TensorView token;      // [N]
  TensorView seq;        // [N]
  TensorView position;   // [N]
  TensorView slot;       // [N]
  TensorView visible;    // [N]
  TensorView rows;       // [1]
  TensorView last;       // [B]
  TensorView last_seq;   // [B]
  TensorView live;       // [1]
};

inline constexpr Operand draft_extend_operands[] = {
    HB_IN(DraftExtend, target, kI32, '-', "N", "token that the model chose after each row of the round"),
    HB_IN(DraftExtend, path, kI32, '-', "B W", "accepted nodes of each tree, counted from its root"),
    HB_IN(DraftExtend, accepted, kI32, '-', "B", "how many; clamped to [0, W]"),
    HB_IN(DraftExtend, first, kI32, '-', "F", "first row of each tree, and one past the last: F = B + 1"),
    HB_IN(DraftExtend, positions, kI32, '-', "B", "rotary position of the next root, once those are accepted"),
    HB_IN(DraftExtend, slots, kI32, '-', "B", "its cache slot"),
    HB_IN(DraftExtend, finished, kI32, '-', "B", "not 0: entries are written, nothing is drafted"),
    HB_OPT(DraftExtend, wanted, kI32, '-', "B", "0: nothing is drafted; without it every sequence wants drafts"),
    HB_OUT(DraftExtend, source, kI32, '-', "N", "row of the round whose feature the entry takes"),
    HB_OUT(DraftExtend, token, kI32, '-', "N", "token that the entry takes: the one after that row"),
    HB_OUT(DraftExtend, seq, kI32, '-', "N", "sequence of each entry"),
    HB_OUT(DraftExtend, position, kI32, '-', "N", "rotary position: that of the row"),
    HB_OUT(DraftExtend, slot, kI32, '-', "N", "cache slot: that of the row once it is committed; -1 beyond `rows`"),
    HB_OUT(DraftExtend, visible, kI32, '-', "N", "slots that the entry sees: slot + 1"),
    HB_OUT(DraftExtend, rows, kI32, '-', "1", "entries in use"),
    HB_OUT(DraftExtend, last, kI32, '-', "B", "the last entry of each sequence that goes on, in order"),
    HB_OUT(DraftExtend, last_seq, kI32, '-', "B", "the sequence"),
    HB_OUT(DraftExtend, live, kI32, '-', "1", "how many go on"),
};

inline Status draft_extend_rules(void* args) {
  auto& a = *static_cast<DraftExtend*>(args);
  const int64_t b = a.accepted.dims[0];
  if (a.first.dims[0] != b + 1) return Status::mismatch(Code::BAD_SHAPE, "first", num(b + 1), num(a.first.dims[0]));
  return Status::success();
}

inline Cost draft_extend_cost(const void* args) {
  auto& a = *static_cast<const DraftExtend*>(args);
  return {0, 7 * bytes_of(a.target) + 7 * bytes_of(a.accepted)};
}

inline constexpr Contract draft_extend_contract = contract<DraftExtend>(
    "draft_extend",
    "Rows of a draft head's pass over what a round accepted: entry t of its cache takes the feature of token t and the "
    "embedding of token t + 1.",
    "for each sequence, j = 0 .. accepted - 1: source = first + path[j], token = target[source], slot = slots - "
    "accepted + j, position = positions - accepted + j. Entries of all sequences side by side, in order; those beyond "
    "`rows` hold 0, slot -1. A source out of range is clamped and flagged",
    draft_extend_operands, draft_extend_rules, draft_extend_cost);

}  // namespace hb
