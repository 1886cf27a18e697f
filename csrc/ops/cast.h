#pragma once
#include "ops/declare.h"

namespace hb {

struct Cast {
  TensorView x;    // any shape
  TensorView out;  // the same shape
  int64_t dtype;
};

inline constexpr Operand cast_operands[] = {
    HB_IN(Cast, x, kFloat, 'T', "*", "values"),
    HB_OUT(Cast, out, kFloat, 'O', "*", "the same values, rounded to nearest even"),
};
inline constexpr Attribute cast_attributes[] = {HB_DTYPE(Cast, dtype, "dtype of out")};

inline Status cast_rules(void* args) {
  auto& a = *static_cast<Cast*>(args);
  a.out.rank = a.x.rank;
  for (int i = 0; i < a.x.rank; ++i) a.out.dims[i] = a.x.dims[i];
  return Status::success();
}

inline Cost cast_cost(const void* args) {
  auto& a = *static_cast<const Cast*>(args);
  return {0, bytes_of(a.x) + bytes_of(a.out)};
}

inline constexpr Contract cast_contract = contract<Cast>("cast", "Changes the dtype.", "out = round(x)", cast_operands,
                                                         cast_attributes, cast_rules, cast_cost);

}  // namespace hb
