#pragma once
#include "ops/declare.h"

namespace hb {

struct Patchify {
  TensorView x;    // [H W C]
  TensorView out;  // [N K]
  int64_t patch;
};

inline constexpr Operand patchify_operands[] = {
    HB_IN(Patchify, x, kFloat, 'T', "H W C", "image or latent, channels last; sides are multiples of patch"),
    HB_OUT(Patchify, out, kFloat, 'T', "N K", "patches row-major; columns (row in patch, column in patch, channel)"),
};
inline constexpr Attribute patchify_attributes[] = {HB_INT(Patchify, patch, 1, 1024, kNone, "side of a patch")};

inline Status patchify_rules(void* args) {
  auto& a = *static_cast<Patchify*>(args);
  if (a.x.dims[0] % a.patch || a.x.dims[1] % a.patch)
    return Status::mismatch(Code::BAD_SHAPE, "x", "sides that are multiples of " + num(a.patch),
                            num(a.x.dims[0]) + "x" + num(a.x.dims[1]));
  set_dims(a.out, (a.x.dims[0] / a.patch) * (a.x.dims[1] / a.patch), a.patch * a.patch * a.x.dims[2]);
  return Status::success();
}

inline Cost patchify_cost(const void* args) {
  auto& a = *static_cast<const Patchify*>(args);
  return {0, 2 * bytes_of(a.x)};
}

inline constexpr Contract patchify_contract =
    contract<Patchify>("patchify", "Cuts an image into square patches, one row each.",
                       "out[(y, x), (i, j, c)] = in[y*patch + i, x*patch + j, c]", patchify_operands,
                       patchify_attributes, patchify_rules, patchify_cost);

}  // namespace hb
