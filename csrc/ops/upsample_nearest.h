#pragma once
#include "ops/declare.h"

namespace hb {

struct UpsampleNearest {
  TensorView x;    // [H W C]
  TensorView out;  // [Y X C]
  int64_t factor;
};

inline constexpr Operand upsample_nearest_operands[] = {
    HB_IN(UpsampleNearest, x, kFloat, 'T', "H W C", "image, channels last"),
    HB_OUT(UpsampleNearest, out, kFloat, 'T', "Y X C", "Y = H * factor, X = W * factor"),
};
inline constexpr Attribute upsample_nearest_attributes[] = {
    HB_INT(UpsampleNearest, factor, 1, 16, 2, "copies per side")};

inline Status upsample_nearest_rules(void* args) {
  auto& a = *static_cast<UpsampleNearest*>(args);
  set_dims(a.out, a.x.dims[0] * a.factor, a.x.dims[1] * a.factor, a.x.dims[2]);
  return Status::success();
}

inline Cost upsample_nearest_cost(const void* args) {
  auto& a = *static_cast<const UpsampleNearest*>(args);
  return {0, bytes_of(a.x) + bytes_of(a.out)};
}

inline constexpr Contract upsample_nearest_contract = contract<UpsampleNearest>(
    "upsample_nearest", "Repeats every pixel factor x factor times.", "out[y, x] = in[y / factor, x / factor]",
    upsample_nearest_operands, upsample_nearest_attributes, upsample_nearest_rules, upsample_nearest_cost);

}  // namespace hb
