#pragma once
#include "ops/declare.h"

namespace hb {

inline constexpr int64_t kPageSlots = 64;  ///< cache slots per page

struct QkNormRopeAppend {
  TensorView qkv;         // [N C], C = (H + 2 G) D
  TensorView q_norm;      // [D], may be absent
  TensorView k_norm;      // [D], may be absent
  TensorView q_norm_gen;  // [D], may be absent
  TensorView k_norm_gen;  // [D], may be absent
  TensorView rope;        // [N D] f32, from rope_table
  TensorView seq;         // [N]
  TensorView slots;       // [N]
  TensorView page_table;  // [B P]
  TensorView k_cache;     // [X G D S]
  TensorView v_cache;     // [X G S D]
  TensorView split;       // [1], may be absent
  TensorView rows;        // [1], may be absent
  TensorView q;           // [N H D]
  double eps;
};

inline constexpr Operand qk_norm_rope_append_operands[] = {
    HB_IN(QkNormRopeAppend, qkv, kFloat, 'T', "N C", "q heads, k heads and v heads side by side, C = (H + 2 G) D"),
    HB_OPT(QkNormRopeAppend, q_norm, kFloat, 'W', "D", "scale of the q norm; heads are not normed without it"),
    HB_OPT(QkNormRopeAppend, k_norm, kFloat, 'W', "D", "scale of the k norm"),
    HB_OPT(QkNormRopeAppend, q_norm_gen, kFloat, 'W', "D", "scale of the q norm of rows at or beyond `split`"),
    HB_OPT(QkNormRopeAppend, k_norm_gen, kFloat, 'W', "D", "scale of the k norm of rows at or beyond `split`"),
    HB_IN(QkNormRopeAppend, rope, kF32, '-', "N D", "cosines and sines from rope_table"),
    HB_IN(QkNormRopeAppend, seq, kI32, '-', "N", "sequence (row of page_table) of each row; clamped to [0, B)"),
    HB_IN(QkNormRopeAppend, slots, kI32, '-', "N", "cache slot that the row's k and v go to; negative: not appended"),
    HB_IN(QkNormRopeAppend, page_table, kI32, '-', "B P", "cache page per sequence and page index"),
    HB_STATE(QkNormRopeAppend, k_cache, kFloat, 'T', "X G D S", "keys, transposed within a page"),
    HB_STATE(QkNormRopeAppend, v_cache, kFloat, 'T', "X G S D", "values"),
    HB_SPLIT(QkNormRopeAppend),
    HB_ROWS(QkNormRopeAppend),
    HB_OUT(QkNormRopeAppend, q, kFloat, 'T', "N H D", "normed and rotated queries"),
};
inline constexpr Attribute qk_norm_rope_append_attributes[] = {
    HB_REAL(QkNormRopeAppend, eps, 0, 1, 1e-6, "added to the mean of squares"),
};

inline Status check_pages(const TensorView& cache, int slot_dim) {
  if (cache.dims[slot_dim] == kPageSlots) return Status::success();
  return Status::mismatch(Code::BAD_SHAPE, "k_cache", num(kPageSlots) + " slots per page", num(cache.dims[slot_dim]));
}

inline Status qk_norm_rope_append_rules(void* args) {
  auto& a = *static_cast<QkNormRopeAppend*>(args);
  const int64_t g = a.k_cache.dims[1], d = a.k_cache.dims[2], c = a.qkv.dims[1];
  if (Status s = check_pages(a.k_cache, 3); !s.ok()) return s;
  if (d % 2) return Status::mismatch(Code::BAD_SHAPE, "k_cache", "an even head size", num(d));
  if (d == 0 || g == 0 || c % d || c / d <= 2 * g || (c / d - 2 * g) % g)
    return Status::mismatch(Code::BAD_SHAPE, "qkv",
                            "(H + 2 * " + num(g) + ") * " + num(d) + " columns, H a multiple of " + num(g), num(c));
  set_dims(a.q, a.qkv.dims[0], c / d - 2 * g, d);
  if (a.q_norm.present != a.k_norm.present)
    return Status::mismatch(Code::BAD_SHAPE, "k_norm", "q_norm and k_norm together", "only one of them");
  if (a.q_norm_gen.present != a.k_norm_gen.present)
    return Status::mismatch(Code::BAD_SHAPE, "k_norm_gen", "q_norm_gen and k_norm_gen together", "only one of them");
  if (a.q_norm_gen && !a.q_norm)
    return Status::mismatch(Code::BAD_SHAPE, "q_norm", "present when q_norm_gen is", "absent");
  return check_experts(a.split, a.q_norm_gen, "q_norm_gen");
}

inline Cost qk_norm_rope_append_cost(const void* args) {
  auto& a = *static_cast<const QkNormRopeAppend*>(args);
  return {10.0 * static_cast<double>(a.qkv.elements()), 2 * bytes_of(a.qkv) + bytes_of(a.rope)};
}

inline constexpr Contract qk_norm_rope_append_contract = contract<QkNormRopeAppend>(
    "qk_norm_rope_append",
    "RMS norm of each q and k head, rotary embedding, and the append of k and v to the paged cache.",
    "h = rms(h) * norm per head (h without norms, as in a draft head's layers); h = h * cos + [-h2 | h1] * sin (half "
    "rotation); k_cache, v_cache at "
    "page_table[seq][slot / 64], slot % 64",
    qk_norm_rope_append_operands, qk_norm_rope_append_attributes, qk_norm_rope_append_rules, qk_norm_rope_append_cost,
    "N");

}  // namespace hb
