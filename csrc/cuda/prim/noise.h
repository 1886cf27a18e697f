#pragma once
// Draws with the bits of the CPU: core/noise_math.inl on plain numbers, every operation with its own rounding.
#include "core/noise.h"
#include "cuda/prim/prim.h"

namespace hb::cuda::noise {

using V = float;
using VI = int32_t;

HB_DEVICE V set1(float v) { return v; }
HB_DEVICE V zero() { return 0.0f; }
HB_DEVICE V add(V a, V b) { return add_rn(a, b); }
HB_DEVICE V sub(V a, V b) { return sub_rn(a, b); }
HB_DEVICE V mul(V a, V b) { return mul_rn(a, b); }
HB_DEVICE V fma(V a, V b, V c) { return fma_rn(a, b, c); }
HB_DEVICE V vsqrt(V v) { return sqrt_rn(v); }
HB_DEVICE V vmax(V a, V b) { return a > b ? a : b; }
HB_DEVICE V select_lt(V a, V b, V yes, V no) { return a < b ? yes : no; }
HB_DEVICE VI iset1(int v) { return v; }
HB_DEVICE VI iadd(VI a, VI b) { return static_cast<VI>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b)); }
HB_DEVICE VI isub(VI a, VI b) { return static_cast<VI>(static_cast<uint32_t>(a) - static_cast<uint32_t>(b)); }
HB_DEVICE VI iand(VI a, VI b) { return a & b; }
HB_DEVICE VI ixor(VI a, VI b) { return a ^ b; }
template <int n>
HB_DEVICE VI shl(VI v) {
  return static_cast<VI>(static_cast<uint32_t>(v) << n);
}
template <int n>
HB_DEVICE VI shr(VI v) {
  return static_cast<VI>(static_cast<uint32_t>(v) >> n);
}
HB_DEVICE VI as_int(V v) { return static_cast<VI>(as_u32(v)); }
HB_DEVICE V as_float(VI v) { return as_f32(static_cast<uint32_t>(v)); }
HB_DEVICE V to_float(VI v) { return static_cast<float>(v); }
HB_DEVICE VI to_int(V v) { return round_to_i32(v); }

#define HB_NOISE HB_DEVICE
#include "core/noise_math.inl"
#undef HB_NOISE

}  // namespace hb::cuda::noise

namespace hb::cuda {

/// The four words of a counter under the key of a seed; see core/noise.h.
HB_DEVICE void philox_words(const uint32_t (&seed)[2], uint32_t index, uint32_t position, Purpose purpose,
                            uint32_t branch, int32_t (&word)[4]) {
  const Philox4 p = philox(seed[0], seed[1], index, position, purpose_word(purpose), branch);
  HB_UNROLL
  for (int i = 0; i < 4; ++i) word[i] = static_cast<int32_t>(p.word[i]);
}

/// Normal draws 4 index to 4 index + 3 of the stream that `philox_words` names.
HB_DEVICE void normal_draws(const int32_t (&word)[4], float (&out)[4]) { noise::normals_of(word, out); }
/// Gumbel draw of one word.
HB_DEVICE float gumbel_draw(int32_t word) { return noise::gumbel_of(word); }

}  // namespace hb::cuda
