#pragma once
#include "ops/declare.h"

namespace hb {

struct Unpatchify {
  TensorView x;    // [N K]
  TensorView out;  // [Y X C]
  int64_t patch;
  int64_t height;
  double scale;
  double shift;
};

inline constexpr Operand unpatchify_operands[] = {
    HB_IN(Unpatchify, x, kFloat, 'T', "N K", "patches row-major; columns (row in patch, column in patch, channel)"),
    HB_OUT(Unpatchify, out, kFloat, 'T', "Y X C", "image or latent, channels last"),
};
inline constexpr Attribute unpatchify_attributes[] = {
    HB_INT(Unpatchify, patch, 1, 1024, kNone, "side of a patch"),
    HB_INT(Unpatchify, height, 1, kHuge, kNone, "patches per column; N is a multiple of it"),
    HB_REAL(Unpatchify, scale, -kHuge, kHuge, 1, "factor of every value"),
    HB_REAL(Unpatchify, shift, -kHuge, kHuge, 0, "added after the factor"),
};

inline Status unpatchify_rules(void* args) {
  auto& a = *static_cast<Unpatchify*>(args);
  const int64_t pp = a.patch * a.patch;
  if (a.x.dims[1] % pp)
    return Status::mismatch(Code::BAD_SHAPE, "x", "a multiple of " + num(pp) + " columns", num(a.x.dims[1]));
  if (a.x.dims[0] % a.height)
    return Status::mismatch(Code::BAD_SHAPE, "x", "a multiple of " + num(a.height) + " rows", num(a.x.dims[0]));
  set_dims(a.out, a.height * a.patch, a.x.dims[0] / a.height * a.patch, a.x.dims[1] / pp);
  return Status::success();
}

inline Cost unpatchify_cost(const void* args) {
  auto& a = *static_cast<const Unpatchify*>(args);
  return {2.0 * static_cast<double>(a.x.elements()), 2 * bytes_of(a.x)};
}

inline constexpr Contract unpatchify_contract =
    contract<Unpatchify>("unpatchify", "Puts square patches back into an image, with an affine map of the values.",
                         "out[y*patch + i, x*patch + j, c] = in[(y, x), (i, j, c)] * scale + shift",
                         unpatchify_operands, unpatchify_attributes, unpatchify_rules, unpatchify_cost);

}  // namespace hb
