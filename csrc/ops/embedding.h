#pragma once
#include "ops/declare.h"

namespace hb {

struct Embedding {
  TensorView table;  // [V D]
  TensorView ids;    // [N]
  TensorView rows;   // [1], may be absent
  TensorView out;    // [N D]
  int64_t dtype;
};

inline constexpr Operand embedding_operands[] = {
    HB_IN(Embedding, table, kFloat, 'T', "V D", "rows to pick from"),
    HB_IN(Embedding, ids, kI32, '-', "N", "row of the table per output row; clamped to [0, V)"),
    HB_ROWS(Embedding),
    HB_OUT(Embedding, out, kFloat, 'O', "N D", "picked rows"),
};
inline constexpr Attribute embedding_attributes[] = {HB_DTYPE(Embedding, dtype, "dtype of out")};

inline Status embedding_rules(void* args) {
  auto& a = *static_cast<Embedding*>(args);
  if (a.table.dims[0] < 1) return Status::mismatch(Code::BAD_SHAPE, "table", "at least one row", "none");
  return Status::success();
}

inline Cost embedding_cost(const void* args) {
  auto& a = *static_cast<const Embedding*>(args);
  return {0, bytes_of(a.ids) + 2 * bytes_of(a.out)};
}

inline constexpr Contract embedding_contract = contract<Embedding>(
    "embedding", "Picks rows of a table; also gathers rows of any tensor.", "out[n] = table[ids[n]]",
    embedding_operands, embedding_attributes, embedding_rules, embedding_cost, "N");

}  // namespace hb
