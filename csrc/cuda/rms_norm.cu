// The pattern kernel: small, complete. Read this one first.
#include "cuda/kernels.h"
#include "cuda/launch.h"
#include "cuda/prim/prim.h"

namespace hb::cuda {
namespace {

constexpr int kPerThread = 8, kMostThreads = 512;

template <class T, class G>
struct Args {
  const T *x, *residual;
  const G *weight, *weight_gen;
  const int32_t *rows, *split;
  T *out, *sum;
  int n, d;
  float eps;
};

struct Smem {
  float partial[kMostThreads / kWarpLanes];
};

/// Up to kPerThread elements from `column` on; kWide: all of them are there and aligned to 16 bytes.
template <bool kWide, class T>
HB_DEVICE void load_part(float (&v)[kPerThread], const T* row, int column, int d) {
  if constexpr (kWide) {
    load_row(v, row + column);
  } else {
    HB_UNROLL
    for (int i = 0; i < kPerThread; ++i) v[i] = column + i < d ? widen(row[column + i]) : 0.0f;
  }
}

template <bool kWide, class T>
HB_DEVICE void store_part(T* row, const float (&v)[kPerThread], int column, int d) {
  if constexpr (kWide) {
    store_row(row + column, v);
  } else {
    HB_UNROLL
    for (int i = 0; i < kPerThread; ++i)
      if (column + i < d) row[column + i] = narrow<T>(v[i]);
  }
}

/// One block per row. A thread keeps its first kPerThread elements in registers, which is all of them up to
/// d = kPerThread * kMostThreads; the order of the sum depends on d alone.
template <class T, class G, bool kWide>
HB_KERNEL void HB_BOUNDS(kMostThreads, 2) rms_norm_kernel(Args<T, G> a) {
  const int row = static_cast<int>(block_x());
  if (row >= live_count(a.rows, a.n)) return;
  HB_DYN_SMEM(raw);
  Smem& smem = *reinterpret_cast<Smem*>(raw);
  const int64_t offset = int64_t{row} * a.d;
  const T* x = a.x + offset;
  const int first = static_cast<int>(thread_x()) * kPerThread, stride = static_cast<int>(threads_x()) * kPerThread;

  float kept[kPerThread] = {};
  float squares = 0.0f;
  for (int c = first; c < a.d; c += stride) {
    float h[kPerThread];
    load_part<kWide>(h, x, c, a.d);
    if (a.residual) {
      float r[kPerThread];
      load_part<kWide>(r, a.residual + offset, c, a.d);
      HB_UNROLL
      for (int i = 0; i < kPerThread; ++i) h[i] = widen(narrow<T>(add_rn(h[i], r[i])));  // later readers see it rounded
      store_part<kWide>(a.sum + offset, h, c, a.d);
    }
    HB_UNROLL
    for (int i = 0; i < kPerThread; ++i) {
      squares = fma_rn(h[i], h[i], squares);
      if (c == first) kept[i] = h[i];
    }
  }

  squares = warp_sum(squares);
  if (lane() == 0) smem.partial[warp()] = squares;
  sync_block();
  const unsigned warps = threads_x() / kWarpLanes;
  squares = warp_sum(lane() < warps ? smem.partial[lane()] : 0.0f);
  const float scale = div_rn(1.0f, sqrt_rn(add_rn(div_rn(squares, static_cast<float>(a.d)), a.eps)));

  const G* weight = a.weight_gen && row >= live_count(a.split, a.n) ? a.weight_gen : a.weight;
  for (int c = first; c < a.d; c += stride) {
    float h[kPerThread] = {}, w[kPerThread];
    if (c != first) load_part<kWide>(h, a.residual ? a.sum + offset : x, c, a.d);
    load_part<kWide>(w, weight, c, a.d);
    HB_UNROLL
    for (int i = 0; i < kPerThread; ++i) h[i] = mul_rn(mul_rn(c == first ? kept[i] : h[i], scale), w[i]);
    store_part<kWide>(a.out + offset, h, c, a.d);
  }
}

}  // namespace

Status rms_norm_cuda(const OpContext& cx, const RmsNorm& a) {
  const int64_t n = a.x.dims[0], d = a.x.dims[1];
  if (n == 0 || d == 0) return Status::success();
  const unsigned warps = static_cast<unsigned>((d + kPerThread * kWarpLanes - 1) / (kPerThread * kWarpLanes));
  const unsigned threads = warps * kWarpLanes < kMostThreads ? warps * kWarpLanes : kMostThreads;
  const bool wide = d % kPerThread == 0 && aligned16(a.x, a.residual, a.weight, a.weight_gen, a.out, a.sum);
  return with_types(a.x, a.weight, [&](auto* t, auto* g) {
    using T = std::remove_reference_t<decltype(*t)>;
    using G = std::remove_reference_t<decltype(*g)>;
    const Args<T, G> args = {a.x.as<T>(),
                             a.residual ? a.residual.as<T>() : nullptr,
                             a.weight.as<G>(),
                             a.weight_gen ? a.weight_gen.as<G>() : nullptr,
                             a.rows ? a.rows.as<int32_t>() : nullptr,
                             a.split ? a.split.as<int32_t>() : nullptr,
                             a.out.as<T>(),
                             a.residual ? a.sum.as<T>() : nullptr,
                             static_cast<int>(n),
                             static_cast<int>(d),
                             static_cast<float>(a.eps)};
    return launch(device(cx).stream, wide ? rms_norm_kernel<T, G, true> : rms_norm_kernel<T, G, false>,
                  {static_cast<unsigned>(n)}, {threads}, sizeof(Smem), args);
  });
}

}  // namespace hb::cuda
