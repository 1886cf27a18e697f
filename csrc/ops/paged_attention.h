#pragma once
#include "ops/declare.h"
#include "ops/qk_norm_rope_append.h"

namespace hb {

struct PagedAttention {
  TensorView q;           // [N H D]
  TensorView k_cache;     // [X G D S]
  TensorView v_cache;     // [X G S D]
  TensorView page_table;  // [B P]
  TensorView seq;         // [N]
  TensorView visible;     // [N]
  TensorView own;         // [N 2], may be absent
  TensorView ancestors;   // [N 4], may be absent
  TensorView rows;        // [1], may be absent
  TensorView out;         // [N H D]
  double scale;
};

inline constexpr Operand paged_attention_operands[] = {
    HB_IN(PagedAttention, q, kFloat, 'T', "N H D", "queries"),
    HB_IN(PagedAttention, k_cache, kFloat, 'T', "X G D S", "keys, transposed within a page; H is a multiple of G"),
    HB_IN(PagedAttention, v_cache, kFloat, 'T', "X G S D", "values"),
    HB_IN(PagedAttention, page_table, kI32, '-', "B P", "cache page per sequence and page index"),
    HB_IN(PagedAttention, seq, kI32, '-', "N", "sequence (row of page_table) of each row; clamped to [0, B)"),
    HB_IN(PagedAttention, visible, kI32, '-', "N", "the row sees slots 0 .. visible - 1; clamped to [0, P * 64]"),
    HB_OPT(PagedAttention, own, kI32, '-', "N 2",
           "the row also sees slots own[0] .. own[1] - 1 (at or beyond visible)"),
    HB_OPT(PagedAttention, ancestors, kI32, '-', "N 4",
           "of its own slots, only those whose bit (slot - own[0]) is set in these 128 bits"),
    HB_ROWS(PagedAttention),
    HB_OUT(PagedAttention, out, kFloat, 'T', "N H D", "a row that sees nothing gives zeros"),
};
inline constexpr Attribute paged_attention_attributes[] = {
    HB_REAL(PagedAttention, scale, 0, 1e3, kNone, "factor of q k^T, 1 / sqrt(D) as a rule"),
};

inline Status paged_attention_rules(void* args) {
  auto& a = *static_cast<PagedAttention*>(args);
  if (Status s = check_pages(a.k_cache, 3); !s.ok()) return s;
  if (a.k_cache.dims[1] == 0 || a.q.dims[1] % a.k_cache.dims[1])
    return Status::mismatch(Code::BAD_SHAPE, "q", "a multiple of " + num(a.k_cache.dims[1]) + " heads",
                            num(a.q.dims[1]));
  if (a.ancestors && !a.own) return Status::mismatch(Code::BAD_SHAPE, "own", "present when ancestors is", "absent");
  return Status::success();
}

/// Counts the slots that the rows see, so it reads `visible` and `own`: meaningful once they are written.
inline Cost paged_attention_cost(const void* args) {
  auto& a = *static_cast<const PagedAttention*>(args);
  const int64_t n = live_rows(a.rows, a.q.dims[0]);
  double keys = 0, longest = 0;
  for (int64_t i = 0; i < n; ++i) {
    double seen = a.visible.as<const int32_t>()[i];
    if (a.own) seen += a.own.as<const int32_t>()[2 * i + 1] - a.own.as<const int32_t>()[2 * i];
    keys += seen;
    if (seen > longest) longest = seen;
  }
  const double d = static_cast<double>(a.q.dims[2]), h = static_cast<double>(a.q.dims[1]);
  return {4 * keys * d * h,
          2 * longest * d * static_cast<double>(a.k_cache.dims[1]) * static_cast<double>(bytes_of(a.q.dtype)) +
              bytes_of(a.q) + bytes_of(a.out)};
}

inline constexpr Contract paged_attention_contract = costing_data(contract<PagedAttention>(
    "paged_attention",
    "Attention of a ragged batch of rows over the paged cache: causal, full, or masked by tree ancestors.",
    "out = softmax(scale * q K^T) V over the visible slots in slot order; exact row maximum, one f32 FMA chain per "
    "output",
    paged_attention_operands, paged_attention_attributes, paged_attention_rules, paged_attention_cost, "N"));

}  // namespace hb
