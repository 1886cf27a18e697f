#pragma once
#include "ops/declare.h"

namespace hb {

inline constexpr int64_t kTreeNodes = 128;  ///< nodes of a draft tree, the root included: bits of its ancestor words

struct TreeBuild {
  TensorView tokens;         // [B C]
  TensorView parents;        // [B C]
  TensorView values;         // [B C]
  TensorView count;          // [B]
  TensorView since;          // [B], may be absent
  TensorView history;        // [B L], may be absent
  TensorView more_tokens;    // [B M], may be absent
  TensorView more_parents;   // [B M], may be absent
  TensorView more_values;    // [B M], may be absent
  TensorView more_count;     // [B], may be absent
  TensorView budget;         // [B]
  TensorView root;           // [B]
  TensorView root_position;  // [B]
  TensorView root_slot;      // [B]
  TensorView output;         // [B]
  TensorView limit;          // [B]
  TensorView capacity;       // [B]
  TensorView finished;       // [B]
  TensorView token;          // [N]
  TensorView parent;         // [N]
  TensorView source;         // [N]
  TensorView rank;           // [N]
  TensorView seq;            // [N]
  TensorView position;       // [N]
  TensorView slot;           // [N]
  TensorView visible;        // [N]
  TensorView own;            // [N 2]
  TensorView ancestors;      // [N 4]
  TensorView index;          // [N]
  TensorView first;          // [F], F = B + 1
  TensorView rows;           // [1]
  int64_t capacity_rows, vocabulary;
};

inline constexpr Operand tree_build_operands[] = {
    HB_IN(TreeBuild, tokens, kI32, '-', "B C", "candidate tokens of each sequence"),
    HB_IN(TreeBuild, parents, kI32, '-', "B C",
          "candidate that each one follows: an index below its own, or -1 for the root"),
    HB_IN(TreeBuild, values, kF32, '-', "B C",
          "logarithm of the estimated probability that the candidate is reached and accepted; a candidate is worth no "
          "more than what it follows; -inf: unused"),
    HB_IN(TreeBuild, count, kI32, '-', "B", "candidates of each sequence; clamped to [0, C]"),
    HB_OPT(TreeBuild, since, kI32, '-', "B",
           "tokens of the answer that the candidates come after; without it `output`, the root itself"),
    HB_OPT(TreeBuild, history, kI32, '-', "B L", "tokens of the answer; given together with `since`"),
    HB_OPT(TreeBuild, more_tokens, kI32, '-', "B M", "candidates of a second drafter, numbered from C on"),
    HB_OPT(TreeBuild, more_parents, kI32, '-', "B M", "candidate of the same drafter, counted from its first"),
    HB_OPT(TreeBuild, more_values, kF32, '-', "B M", "their values"),
    HB_OPT(TreeBuild, more_count, kI32, '-', "B", "how many; clamped to [0, M]"),
    HB_IN(TreeBuild, budget, kI32, '-', "B", "most nodes of each tree, the root included; clamped to [1, 128]"),
    HB_IN(TreeBuild, root, kI32, '-', "B", "token of the root: the last one of the answer, not yet in the cache"),
    HB_IN(TreeBuild, root_position, kI32, '-', "B", "its rotary position"),
    HB_IN(TreeBuild, root_slot, kI32, '-', "B", "its cache slot: the committed length"),
    HB_IN(TreeBuild, output, kI32, '-', "B", "tokens of the answer so far"),
    HB_IN(TreeBuild, limit, kI32, '-', "B", "most tokens of the answer: no node is deeper than limit - output - 1"),
    HB_IN(TreeBuild, capacity, kI32, '-', "B", "cache slots that the sequence's pages hold"),
    HB_IN(TreeBuild, finished, kI32, '-', "B", "not 0: the sequence takes no rows"),
    HB_OUT(TreeBuild, token, kI32, '-', "N", "token of each row"),
    HB_OUT(TreeBuild, parent, kI32, '-', "N", "its parent, counted from the tree's root; -1 for a root"),
    HB_OUT(TreeBuild, source, kI32, '-', "N", "candidate that it came from; -1 for a root"),
    HB_OUT(TreeBuild, rank, kI32, '-', "N", "when it was taken: 0 for a root, 1 for the best node of its tree"),
    HB_OUT(TreeBuild, seq, kI32, '-', "N", "sequence of each row"),
    HB_OUT(TreeBuild, position, kI32, '-', "N", "rotary position: the root's plus the depth"),
    HB_OUT(TreeBuild, slot, kI32, '-', "N", "cache slot: the root's plus the number in the tree; -1 beyond `rows`"),
    HB_OUT(TreeBuild, visible, kI32, '-', "N", "slots below the root's"),
    HB_OUT(TreeBuild, own, kI32, '-', "N 2", "slots of the tree"),
    HB_OUT(TreeBuild, ancestors, kI32, '-', "N 4", "128 bits: bit j is set for node j on the path from the root"),
    HB_OUT(TreeBuild, index, kI32, '-', "N", "index in the answer of the token that the row predicts"),
    HB_OUT(TreeBuild, first, kI32, '-', "F", "first row of each sequence, and one past the last: F = B + 1"),
    HB_OUT(TreeBuild, rows, kI32, '-', "1", "rows in use"),
};
inline constexpr Attribute tree_build_attributes[] = {
    HB_INT(TreeBuild, capacity_rows, 1, 65536, kNone, "N, at least B"),
    HB_INT(TreeBuild, vocabulary, 1, 2147483647, kNone, "tokens lie in [0, vocabulary)"),
};

inline Status tree_build_rules(void* args) {
  auto& a = *static_cast<TreeBuild*>(args);
  const int64_t n = a.capacity_rows, b = a.count.dims[0];
  if (n < b) return Status::mismatch(Code::BAD_OPTION, "capacity_rows", "at least " + num(b), num(n));
  if (a.tokens.dims[1] > 65536)
    return Status::mismatch(Code::BAD_SHAPE, "tokens", "at most 65536 candidates", num(a.tokens.dims[1]));
  for (const TensorView* t : {&a.more_parents, &a.more_values, &a.more_count})
    if (t->present != a.more_tokens.present)
      return Status::mismatch(Code::BAD_SHAPE, "more_tokens", "all of more_* together", "only some of them");
  if (a.since.present != a.history.present)
    return Status::mismatch(Code::BAD_SHAPE, "since", "since and history together", "only one of them");
  if (a.more_tokens && a.more_tokens.dims[1] > 65536)
    return Status::mismatch(Code::BAD_SHAPE, "more_tokens", "at most 65536 candidates", num(a.more_tokens.dims[1]));
  for (TensorView* t : {&a.token, &a.parent, &a.source, &a.rank, &a.seq, &a.position, &a.slot, &a.visible, &a.index})
    set_dims(*t, n);
  set_dims(a.own, n, 2);
  set_dims(a.ancestors, n, 4);
  set_dims(a.first, b + 1);
  return Status::success();
}

inline Cost tree_build_cost(const void* args) {
  auto& a = *static_cast<const TreeBuild*>(args);
  return {0, 3 * (bytes_of(a.tokens) + bytes_of(a.more_tokens)) + 15 * bytes_of(a.token)};
}

inline constexpr Contract tree_build_contract = contract<TreeBuild>(
    "tree_build",
    "Draft trees of a ragged batch from scored candidates: select, merge, number depth first, derive the masks.",
    "a candidate's value is min(values, value of what it follows); candidates are taken in the order \"value "
    "descending, index ascending\" until the budget, the rows, the cache or the answer's limit is full: one whose "
    "parent was not taken is left out, one that repeats a sibling's token is merged with it. Nodes are numbered depth "
    "first, children in the order in which they were taken. A candidate with a value that is not a number, a token out "
    "of range or a parent that is no index below its own is left out and flagged. With `since`, the tokens "
    "history[since .. output) are followed down the first drafter's candidates: what lies below the end of that path "
    "are the candidates, its children those of the root, values on the way do not count; there are none where the path "
    "is not among them, is longer than 127 tokens or not in the history. Every running sequence has a root; "
    "sequences take rows in order, each leaves one row for every sequence behind it. Rows beyond `rows` hold 0, "
    "parent, "
    "source and slot -1",
    tree_build_operands, tree_build_attributes, tree_build_rules, tree_build_cost);

}  // namespace hb
