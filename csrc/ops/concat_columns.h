#pragma once
#include "ops/declare.h"

namespace hb {

struct ConcatColumns {
  TensorView a;     // [N A]
  TensorView b;     // [N B]
  TensorView c;     // [N C], may be absent
  TensorView rows;  // [1], may be absent
  TensorView out;   // [N D], D = A + B + C
};

inline constexpr Operand concat_columns_operands[] = {
    HB_IN(ConcatColumns, a, kFloat, 'T', "N A", "first columns"),
    HB_IN(ConcatColumns, b, kFloat, 'T', "N B", "columns after them"),
    HB_OPT(ConcatColumns, c, kFloat, 'T', "N C", "last columns"),
    HB_ROWS(ConcatColumns),
    HB_OUT(ConcatColumns, out, kFloat, 'T', "N D", "all columns side by side, D = A + B + C"),
};

inline Status concat_columns_rules(void* args) {
  auto& a = *static_cast<ConcatColumns*>(args);
  set_dims(a.out, a.a.dims[0], a.a.dims[1] + a.b.dims[1] + (a.c ? a.c.dims[1] : 0));
  return Status::success();
}

inline Cost concat_columns_cost(const void* args) {
  auto& a = *static_cast<const ConcatColumns*>(args);
  return {0, 2 * bytes_of(a.out)};
}

inline constexpr Contract concat_columns_contract = contract<ConcatColumns>(
    "concat_columns", "Rows side by side: the inputs of a draft head's projections.", "out[n] = [a[n] | b[n] | c[n]]",
    concat_columns_operands, concat_columns_rules, concat_columns_cost, "N");

}  // namespace hb
