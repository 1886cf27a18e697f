// Normal noise with the bits of the CPU. A thread draws eight neighbours: two Philox blocks, four logarithms, four
// square roots, four angles, some 400 instructions; bound by them, not by the 4 bytes written per draw.
#include "cuda/images.h"
#include "cuda/kernels.h"
#include "cuda/launch.h"
#include "cuda/prim/noise.h"

namespace hb::cuda {
namespace {

constexpr int kThreads = 256, kPerThread = 8;

template <class T>
struct Args {
  const uint32_t *seed, *position;
  Images images;
  T* out;
  int64_t width;
  float mean, deviation;
  int purpose;
  uint32_t* flags;
};

/// Draws 4 group to 4 group + 3 of image j.
template <class T>
HB_DEVICE void draw_group(const Args<T>& a, int j, int64_t group, float (&z)[4]) {
  const uint32_t seed[2] = {a.seed[2 * j], a.seed[2 * j + 1]};
  int32_t word[4];
  philox_words(seed, static_cast<uint32_t>(group), a.position ? *a.position : 0u, static_cast<Purpose>(a.purpose), 0,
               word);
  normal_draws(word, z);
  HB_UNROLL
  for (int i = 0; i < 4; ++i) z[i] = fma_rn(z[i], a.deviation, a.mean);
}

template <class T, bool kWide>
HB_KERNEL void HB_BOUNDS(kThreads, 4) philox_normal_kernel(Args<T> a) {
  if (block_x() == 0 && thread_x() == 0) a.images.check(a.flags);
  const int64_t first = (int64_t{block_x()} * kThreads + thread_x()) * kPerThread, total = a.images.n * a.width;
  if (first >= total) return;
  int j = 0;
  int64_t from = 0, end = a.images.end(0, 0) * a.width;  // in elements
  const auto seek = [&](int64_t at) {
    while (at >= end) from = end, ++j, end = a.images.end(j, end / a.width) * a.width;
  };
  seek(first);
  if ((first - from) % 4 == 0 && first + kPerThread <= end) {
    float z[kPerThread];
    HB_UNROLL
    for (int part = 0; part < kPerThread; part += 4) {
      float four[4];
      draw_group(a, j, (first - from + part) / 4, four);
      HB_UNROLL
      for (int i = 0; i < 4; ++i) z[part + i] = four[i];
    }
    if constexpr (kWide) {
      store_row(a.out + first, z);
    } else {
      HB_UNROLL
      for (int i = 0; i < kPerThread; ++i) a.out[first + i] = narrow<T>(z[i]);
    }
    return;
  }
  for (int64_t at = first; at < total && at < first + kPerThread; ++at) {  // borders of images
    seek(at);
    float four[4];
    draw_group(a, j, (at - from) / 4, four);
    const int which = static_cast<int>((at - from) % 4);
    a.out[at] = narrow<T>(which == 0 ? four[0] : which == 1 ? four[1] : which == 2 ? four[2] : four[3]);
  }
}

}  // namespace

Status philox_normal_cuda(const OpContext& cx, const PhiloxNormal& a) {
  const int64_t rows = a.out.dims[0], width = a.out.dims[1], total = rows * width;
  const int64_t per_block = kThreads * kPerThread;
  return with_type(a.out, [&](auto* t) {
    using T = std::remove_reference_t<decltype(*t)>;
    const Args<T> args = {
        a.seed.as<uint32_t>(),
        a.position ? a.position.as<uint32_t>() : nullptr,
        {a.images ? a.images.as<int32_t>() : nullptr, a.images ? static_cast<int>(a.images.dims[0]) : 0, rows},
        a.out.as<T>(),
        width,
        static_cast<float>(a.mean),
        static_cast<float>(a.deviation),
        static_cast<int>(a.purpose),
        device(cx).flags};
    const unsigned blocks = total > 0 ? static_cast<unsigned>((total + per_block - 1) / per_block) : 1;
    return launch(device(cx).stream, aligned16(a.out) ? philox_normal_kernel<T, true> : philox_normal_kernel<T, false>,
                  {blocks}, {kThreads}, 0, args);
  });
}

}  // namespace hb::cuda
