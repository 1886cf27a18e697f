#pragma once
#include "ops/declare.h"

namespace hb {

struct EmbedAdd {
  TensorView x;       // [N D]
  TensorView table;   // [P D]
  TensorView ids;     // [N]
  TensorView table2;  // [Q D], may be absent
  TensorView ids2;    // [N], may be absent
  TensorView rows;    // [1], may be absent
  TensorView out;     // [N D]
};

inline constexpr Operand embed_add_operands[] = {
    HB_IN(EmbedAdd, x, kFloat, 'T', "N D", "rows"),
    HB_IN(EmbedAdd, table, kFloat, 'W', "P D", "embeddings to add, positions for example"),
    HB_IN(EmbedAdd, ids, kI32, '-', "N", "row of table per row; clamped to [0, P)"),
    HB_OPT(EmbedAdd, table2, kFloat, 'V', "Q D", "a second table, times for example"),
    HB_OPT(EmbedAdd, ids2, kI32, '-', "N", "row of table2 per row; clamped to [0, Q)"),
    HB_ROWS(EmbedAdd),
    HB_OUT(EmbedAdd, out, kFloat, 'T', "N D", "x + table[ids] + table2[ids2], summed in f32"),
};

inline Status embed_add_rules(void* args) {
  auto& a = *static_cast<EmbedAdd*>(args);
  if (a.table2.present != a.ids2.present)
    return Status::mismatch(Code::BAD_SHAPE, "ids2", "table2 and ids2 together", "only one of them");
  if (a.table.dims[0] < 1) return Status::mismatch(Code::BAD_SHAPE, "table", "at least one row", "none");
  if (a.table2 && a.table2.dims[0] < 1) return Status::mismatch(Code::BAD_SHAPE, "table2", "at least one row", "none");
  return Status::success();
}

inline Cost embed_add_cost(const void* args) {
  auto& a = *static_cast<const EmbedAdd*>(args);
  const double n = static_cast<double>(a.x.elements());
  return {n * (a.table2 ? 2 : 1), bytes_of(a.x) * (a.table2 ? 3 : 2) + bytes_of(a.out)};
}

inline constexpr Contract embed_add_contract = contract<EmbedAdd>(
    "embed_add", "Adds one or two looked-up embeddings to each row.",
    "out[n] = (x[n] + table2[ids2[n]]) + table[ids[n]]", embed_add_operands, embed_add_rules, embed_add_cost, "N");

}  // namespace hb
