#pragma once
#include "ops/declare.h"

namespace hb {

struct ConcatRows {
  TensorView a;    // [N D]
  TensorView b;    // [M D]
  TensorView out;  // [R D]
};

inline constexpr Operand concat_rows_operands[] = {
    HB_IN(ConcatRows, a, kAny, 'T', "N D", "first rows"),
    HB_IN(ConcatRows, b, kAny, 'T', "M D", "rows after them"),
    HB_OUT(ConcatRows, out, kAny, 'T', "R D", "R = N + M"),
};

inline Status concat_rows_rules(void* args) {
  auto& a = *static_cast<ConcatRows*>(args);
  set_dims(a.out, a.a.dims[0] + a.b.dims[0], a.a.dims[1]);
  return Status::success();
}

inline Cost concat_rows_cost(const void* args) {
  auto& a = *static_cast<const ConcatRows*>(args);
  return {0, 2 * bytes_of(a.out)};
}

inline constexpr Contract concat_rows_contract =
    contract<ConcatRows>("concat_rows", "Rows of b after rows of a.", "out = [a; b]", concat_rows_operands,
                         concat_rows_rules, concat_rows_cost);

}  // namespace hb
