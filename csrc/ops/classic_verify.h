#pragma once
#include "ops/declare.h"
#include "ops/tree_build.h"

namespace hb {

enum class ClassicMode : int64_t { traversal, token };

struct ClassicVerify {
  TensorView target;    // [N V] f32
  TensorView draft;     // [N V] f32, may be absent
  TensorView drawn;     // [N], may be absent
  TensorView token;     // [N]
  TensorView parent;    // [N]
  TensorView first;     // [F]: B + 1
  TensorView seed;      // [B 2]
  TensorView position;  // [B]
  TensorView coins;     // [N] f32, may be absent
  TensorView path;      // [B 128]
  TensorView accepted;  // [B]
  TensorView next;      // [B]
  int64_t mode;
};

inline constexpr Operand classic_verify_operands[] = {
    HB_IN(ClassicVerify, target, kF32, '-', "N V",
          "the target's law after each node, as weights; entries that are NaN, negative or infinite count as 0 and set "
          "the not-a-number flag, and so does a row without weight, which acts as all on id 0"),
    HB_OPT(ClassicVerify, draft, kF32, '-', "N V",
           "the law that a node's token was drawn from, given all that was drawn before it, as weights (likewise; a "
           "node whose row has no weight is passed over); absent: no token was drawn"),
    HB_OPT(ClassicVerify, drawn, kI32, '-', "N",
           "0: the node's token was chosen without chance and its row of draft is not read; absent: all were drawn"),
    HB_IN(ClassicVerify, token, kI32, '-', "N", "token of each node; that of a root is not read"),
    HB_IN(
        ClassicVerify, parent, kI32, '-', "N",
        "parent of each node, counted from its tree's root, which is 0; parents precede children, siblings are tested "
        "in order. A node with another parent, or with a token outside [0, V), is passed over with all below it, and "
        "sets the clamp flag"),
    HB_IN(ClassicVerify, first, kI32, '-', "F",
          "first node of each tree, then the number of nodes: B + 1 entries, clamped to [0, N]; a tree that would end "
          "before it begins is empty, and nodes beyond a tree's 128th are passed over. Both set the clamp flag"),
    HB_IN(ClassicVerify, seed, kI32, '-', "B 2", "low and high half of the 64-bit seed"),
    HB_IN(ClassicVerify, position, kI32, '-', "B", "index in the answer of the first token that this round can give"),
    HB_OPT(ClassicVerify, coins, kF32, '-', "N",
           "take the place of the generator's, in [0, 1): a node's decides about it, a root's draws the last token; "
           "others are clamped"),
    HB_OUT(ClassicVerify, path, kI32, '-', "B 128",
           "accepted nodes, counted from the root, which is the first; -1 behind them"),
    HB_OUT(ClassicVerify, accepted, kI32, '-', "B",
           "how many: the tokens that the round gave, the last one among them; 0 for a tree without nodes"),
    HB_OUT(ClassicVerify, next, kI32, '-', "B", "the token after the path; -1 for a tree without nodes"),
};
inline constexpr Attribute classic_verify_attributes[] = {
    HB_CHOICE(ClassicVerify, mode, "traversal|token",
              "leaves first by the weight of their paths, on a chain block verification; or token by token from the "
              "root"),
};

inline Status classic_verify_rules(void* args) {
  auto& a = *static_cast<ClassicVerify*>(args);
  if (a.target.dims[1] < 1) return Status::mismatch(Code::BAD_SHAPE, "target", "at least one column", "none");
  if (a.first.dims[0] != a.position.dims[0] + 1)
    return Status::mismatch(Code::BAD_SHAPE, "first", "B + 1 = " + num(a.position.dims[0] + 1) + " entries",
                            num(a.first.dims[0]));
  if (a.drawn && !a.draft) return Status::mismatch(Code::BAD_SHAPE, "draft", "the rows that drawn picks", "no tensor");
  return Status::success();
}

inline Cost classic_verify_cost(const void* args) {
  auto& a = *static_cast<const ClassicVerify*>(args);
  return {6.0 * static_cast<double>(a.target.elements()), bytes_of(a.target) + bytes_of(a.draft)};
}

inline constexpr Contract classic_verify_contract = on_cpu_only(
    contract<ClassicVerify>(
        "classic_verify",
        "Verifies drawn draft trees so that what is emitted has the law of plain sampling; for its tokens see "
        "tree_verify.",
        "p, r: rows of target and draft divided by their sums, r all on the token where it was not drawn; u: coins; "
        "a, b of the root: 1, p. "
        "traversal (arXiv 2505.12398; on a chain arXiv 2403.10444): a child x of a node enters with a_x = min(a b(x) / "
        "r(x), 1), b_x = p_x; "
        "leaves first: accepted with its path if u < a; else its parent's R = max(a b - r, 0), Z = sum R, b = R / Z, a "
        "= "
        "Z / (Z + 1 - a), and the next child enters; "
        "token (arXiv 2211.17192, over siblings arXiv 2305.09781): a child x is accepted if u < min(b(x) / r(x), 1), "
        "else b = max(b - r, 0) / Z; "
        "next = first id whose cumulated b of the last accepted node is above u; never one with b = 0; "
        "u = (w0 2^20 + w1 / 2^12 + 0.5) 2^-52, w of Philox4x32-10, key = seed, counter = (node, position, purpose "
        "accept << 24, 0), for the token (0, position, purpose residual << 24, 0)",
        classic_verify_operands, classic_verify_attributes, classic_verify_rules, classic_verify_cost),
    "a classic law needs the drafts' laws and several passes over the vocabulary; devices verify by exact match");

}  // namespace hb
