#pragma once
#include "ops/declare.h"

namespace hb {

struct PhiloxNormal {
  TensorView seed;      // [B 2]
  TensorView position;  // [1], may be absent
  TensorView images;    // [J], may be absent
  TensorView out;       // [R C]
  int64_t rows_count;
  int64_t columns;
  int64_t purpose;
  double mean;
  double deviation;
  int64_t dtype;
};

inline constexpr int64_t kMostDraws = int64_t{1} << 34;

inline constexpr Operand philox_normal_operands[] = {
    HB_IN(PhiloxNormal, seed, kI32, '-', "B 2", "low and high half of the 64-bit seed, one per image"),
    HB_OPT(PhiloxNormal, position, kI32, '-', "1",
           "position within the purpose, a step index for example; 0 when absent"),
    HB_OPT(PhiloxNormal, images, kI32, '-', "J", "rows where each image starts, then R; one image when absent"),
    HB_OUT(PhiloxNormal, out, kFloat, 'O', "R C", "normal draws, numbered row-major within each image"),
};
inline constexpr Attribute philox_normal_attributes[] = {
    HB_INT(PhiloxNormal, rows_count, 0, kHuge, kNone, "R"),
    HB_INT(PhiloxNormal, columns, 0, kHuge, kNone, "C"),
    HB_INT(PhiloxNormal, purpose, 0, 255, kNone, "what the draws are for: see core/noise.h"),
    HB_REAL(PhiloxNormal, mean, -kHuge, kHuge, 0, "added to every draw"),
    HB_REAL(PhiloxNormal, deviation, 0, kHuge, 1, "factor of every draw"),
    HB_DTYPE(PhiloxNormal, dtype, "dtype of out"),
};

inline Status philox_normal_rules(void* args) {
  auto& a = *static_cast<PhiloxNormal*>(args);
  if (a.columns > 0 && a.rows_count > kMostDraws / a.columns)
    return Status::mismatch(Code::BAD_SHAPE, "columns", "at most 2^34 draws: one 32-bit counter for four",
                            num(a.rows_count) + " rows of " + num(a.columns));
  const int64_t images = a.images && a.images.dims[0] > 2 ? a.images.dims[0] - 1 : 1;
  if (a.seed.dims[0] != images)
    return Status::mismatch(Code::BAD_SHAPE, "seed", num(images) + " rows, one per image", num(a.seed.dims[0]));
  set_dims(a.out, a.rows_count, a.columns);
  return Status::success();
}

inline Cost philox_normal_cost(const void* args) {
  auto& a = *static_cast<const PhiloxNormal*>(args);
  return {60.0 * static_cast<double>(a.out.elements()), bytes_of(a.out)};
}

inline constexpr Contract philox_normal_contract =
    contract<PhiloxNormal>("philox_normal", "Counter-based normal noise: a seed gives the same bits on every backend.",
                           "Philox4x32-10, key = seed, counter = (index / 4, position, purpose << 24, 0); Box-Muller "
                           "on words (0,1) and (2,3): "
                           "sqrt(-2 log U) of the first word times cos, then sin, of 2 pi U of the second, U = (w + "
                           "0.5) 2^-32; out = mean + deviation * draw",
                           philox_normal_operands, philox_normal_attributes, philox_normal_rules, philox_normal_cost);

}  // namespace hb
