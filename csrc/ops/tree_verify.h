#pragma once
#include "ops/declare.h"
#include "ops/tree_build.h"

namespace hb {

struct TreeVerify {
  TensorView target;     // [N]
  TensorView token;      // [N]
  TensorView parent;     // [N]
  TensorView first;      // [F]
  TensorView stop;       // [B K]
  TensorView limit;      // [B]
  TensorView tokens;     // [B]
  TensorView positions;  // [B]
  TensorView slots;      // [B]
  TensorView output;     // [B]
  TensorView finished;   // [B]
  TensorView history;    // [B L]
  TensorView path;       // [B W]
  TensorView accepted;   // [B]
  TensorView event;      // [B E], E = 4 + W
  int64_t width;
};

inline constexpr Operand tree_verify_operands[] = {
    HB_IN(TreeVerify, target, kI32, '-', "N", "token that the model chose after each row"),
    HB_IN(TreeVerify, token, kI32, '-', "N", "token of each row"),
    HB_IN(TreeVerify, parent, kI32, '-', "N", "its parent, counted from the tree's root; -1 for a root"),
    HB_IN(TreeVerify, first, kI32, '-', "F", "first row of each sequence, and one past the last: F = B + 1"),
    HB_IN(TreeVerify, stop, kI32, '-', "B K", "stop tokens of each; negative entries are unused"),
    HB_IN(TreeVerify, limit, kI32, '-', "B", "most tokens of each answer"),
    HB_STATE(TreeVerify, tokens, kI32, '-', "B", "token that the next round feeds"),
    HB_STATE(TreeVerify, positions, kI32, '-', "B", "its rotary position"),
    HB_STATE(TreeVerify, slots, kI32, '-', "B", "its cache slot: the committed length"),
    HB_STATE(TreeVerify, output, kI32, '-', "B", "tokens of the answer so far"),
    HB_STATE(TreeVerify, finished, kI32, '-', "B", "0 running, 1 stop token, 2 length limit"),
    HB_STATE(TreeVerify, history, kI32, '-', "B L", "the tokens of the answer; those beyond L are not kept"),
    HB_OUT(TreeVerify, path, kI32, '-', "B W", "accepted nodes, counted from the tree's root; -1 behind them"),
    HB_OUT(TreeVerify, accepted, kI32, '-', "B", "how many: the tokens that the round gave; 0 when it did not run"),
    HB_OUT(TreeVerify, event, kI32, '-', "B E",
           "accepted, index of the first token in the answer, finished, nodes of the tree, then the tokens, -1 behind "
           "them"),
};
inline constexpr Attribute tree_verify_attributes[] = {
    HB_INT(TreeVerify, width, 1, kTreeNodes, kNone, "W, most nodes on a path: it ends there"),
};

inline Status tree_verify_rules(void* args) {
  auto& a = *static_cast<TreeVerify*>(args);
  const int64_t b = a.limit.dims[0];
  if (a.first.dims[0] != b + 1) return Status::mismatch(Code::BAD_SHAPE, "first", num(b + 1), num(a.first.dims[0]));
  set_dims(a.path, b, a.width);
  set_dims(a.event, b, 4 + a.width);
  return Status::success();
}

inline Cost tree_verify_cost(const void* args) {
  auto& a = *static_cast<const TreeVerify*>(args);
  return {0, 3 * bytes_of(a.token) + 12 * bytes_of(a.limit) + bytes_of(a.path) + bytes_of(a.event)};
}

inline constexpr Contract tree_verify_contract = contract<TreeVerify>(
    "tree_verify",
    "Exact-match verification of draft trees, and the device-side state of a decode loop: stop tokens, length limit, "
    "what the next round reads.",
    "from the root: the target of the node is the next token of the answer; a stop token ends the answer (finished 1, "
    "not counted), limit ends it (finished 2, counted); else the first child with that token is accepted, or the round "
    "ends and the token is fed next. positions and slots grow by `accepted`, output by the tokens that count. Rows out "
    "of range are clamped and flagged; a sequence that had finished, or has no rows, stays as it is",
    tree_verify_operands, tree_verify_attributes, tree_verify_rules, tree_verify_cost);

}  // namespace hb
