#pragma once
#include "ops/declare.h"

namespace hb {

struct NormalizePixels {
  TensorView x;    // [H W C] u8
  TensorView out;  // [H W C]
};

inline constexpr Operand normalize_pixels_operands[] = {
    HB_IN(NormalizePixels, x, kU8, '-', "H W C", "pixels"),
    HB_OUT(NormalizePixels, out, kF32, '-', "H W C", "values in [-1, 1]"),
};

inline Cost normalize_pixels_cost(const void* args) {
  auto& a = *static_cast<const NormalizePixels*>(args);
  return {3.0 * static_cast<double>(a.x.elements()), bytes_of(a.x) + bytes_of(a.out)};
}

inline constexpr Contract normalize_pixels_contract =
    contract<NormalizePixels>("normalize_pixels", "Pixels to values.", "out = (x / 255 - 0.5) / 0.5",
                              normalize_pixels_operands, nullptr, normalize_pixels_cost);

struct DenormalizePixels {
  TensorView x;    // [H W C]
  TensorView out;  // [H W C] u8
};

inline constexpr Operand denormalize_pixels_operands[] = {
    HB_IN(DenormalizePixels, x, kFloat, 'T', "H W C", "values, [-1, 1] as a rule"),
    HB_OUT(DenormalizePixels, out, kU8, '-', "H W C", "pixels, truncated as the reference does"),
};

inline Cost denormalize_pixels_cost(const void* args) {
  auto& a = *static_cast<const DenormalizePixels*>(args);
  return {4.0 * static_cast<double>(a.x.elements()), bytes_of(a.x) + bytes_of(a.out)};
}

inline constexpr Contract denormalize_pixels_contract = contract<DenormalizePixels>(
    "denormalize_pixels", "Values to pixels.", "out = trunc(clamp(x * 0.5 + 0.5, 0, 1) * 255); NaN gives 0",
    denormalize_pixels_operands, nullptr, denormalize_pixels_cost);

}  // namespace hb
