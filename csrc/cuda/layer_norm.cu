// Layer norm of rows. Cost: a row is read once and written once.
#include "cuda/kernels.h"
#include "cuda/launch.h"
#include "cuda/prim/prim.h"

namespace hb::cuda {
namespace {

constexpr int kPerThread = 8, kMostThreads = 512;

template <class T, class G>
struct Args {
  const T* x;
  const G *weight, *bias;
  const int32_t* rows;
  T* out;
  int n, d;
  float eps;
};

struct Smem {
  float sums[kMostThreads / kWarpLanes], squares[kMostThreads / kWarpLanes];
};

/// Up to kPerThread elements from `column` on, zeros beyond d; kWide: all of them are there and aligned to 16 bytes.
template <bool kWide, class T>
HB_DEVICE void load_part(float (&v)[kPerThread], const T* row, int column, int d) {
  if constexpr (kWide) {
    load_row(v, row + column);
  } else {
    HB_UNROLL
    for (int i = 0; i < kPerThread; ++i) v[i] = column + i < d ? widen(row[column + i]) : 0.0f;
  }
}

/// Sum over the block, in every thread; `partial` is not used again before another barrier.
HB_DEVICE float block_sum(float v, float* partial) {
  v = warp_sum(v);
  if (lane() == 0) partial[warp()] = v;
  sync_block();
  return warp_sum(lane() < threads_x() / kWarpLanes ? partial[lane()] : 0.0f);
}

/// One block per row. A thread keeps its first kPerThread elements in registers; the order of sums depends on d alone.
template <class T, class G, bool kWide>
HB_KERNEL void HB_BOUNDS(kMostThreads, 2) layer_norm_kernel(Args<T, G> a) {
  const int row = static_cast<int>(block_x());
  if (row >= live_count(a.rows, a.n)) return;
  HB_DYN_SMEM(raw);
  Smem& smem = *reinterpret_cast<Smem*>(raw);
  const T* x = a.x + int64_t{row} * a.d;
  T* out = a.out + int64_t{row} * a.d;
  const int first = static_cast<int>(thread_x()) * kPerThread, stride = static_cast<int>(threads_x()) * kPerThread;
  const float count = static_cast<float>(a.d);

  float kept[kPerThread] = {}, sum = 0.0f;
  for (int c = first; c < a.d; c += stride) {
    float h[kPerThread];
    load_part<kWide>(h, x, c, a.d);
    HB_UNROLL
    for (int i = 0; i < kPerThread; ++i) {
      sum = add_rn(sum, h[i]);
      if (c == first) kept[i] = h[i];
    }
  }
  const float mean = div_rn(block_sum(sum, smem.sums), count);

  float squares = 0.0f;
  for (int c = first; c < a.d; c += stride) {
    float h[kPerThread] = {};
    if (c != first) load_part<kWide>(h, x, c, a.d);
    HB_UNROLL
    for (int i = 0; i < kPerThread; ++i) {
      const float away = sub_rn(c == first ? kept[i] : h[i], mean);
      if (kWide || c + i < a.d) squares = fma_rn(away, away, squares);
    }
  }
  const float variance = div_rn(block_sum(squares, smem.squares), count);
  const float scale = div_rn(1.0f, sqrt_rn(add_rn(variance, a.eps)));

  for (int c = first; c < a.d; c += stride) {
    float h[kPerThread] = {}, w[kPerThread], b[kPerThread];
    if (c != first) load_part<kWide>(h, x, c, a.d);
    load_part<kWide>(w, a.weight, c, a.d);
    load_part<kWide>(b, a.bias, c, a.d);
    HB_UNROLL
    for (int i = 0; i < kPerThread; ++i)
      h[i] = fma_rn(mul_rn(sub_rn(c == first ? kept[i] : h[i], mean), scale), w[i], b[i]);
    if constexpr (kWide) {
      store_row(out + c, h);
    } else {
      HB_UNROLL
      for (int i = 0; i < kPerThread; ++i)
        if (c + i < a.d) out[c + i] = narrow<T>(h[i]);
    }
  }
}

}  // namespace

Status layer_norm_cuda(const OpContext& cx, const LayerNorm& a) {
  const int64_t n = a.x.dims[0], d = a.x.dims[1];
  if (n == 0 || d == 0) return Status::success();
  const unsigned warps = static_cast<unsigned>((d + kPerThread * kWarpLanes - 1) / (kPerThread * kWarpLanes));
  const unsigned threads = warps * kWarpLanes < kMostThreads ? warps * kWarpLanes : kMostThreads;
  const bool wide = d % kPerThread == 0 && aligned16(a.x, a.weight, a.bias, a.out);
  return with_types(a.x, a.weight, [&](auto* t, auto* g) {
    using T = std::remove_reference_t<decltype(*t)>;
    using G = std::remove_reference_t<decltype(*g)>;
    const Args<T, G> args = {
        a.x.as<T>(),   a.weight.as<G>(),    a.bias.as<G>(),      a.rows ? a.rows.as<int32_t>() : nullptr,
        a.out.as<T>(), static_cast<int>(n), static_cast<int>(d), static_cast<float>(a.eps)};
    return launch(device(cx).stream, wide ? layer_norm_kernel<T, G, true> : layer_norm_kernel<T, G, false>,
                  {static_cast<unsigned>(n)}, {threads}, sizeof(Smem), args);
  });
}

}  // namespace hb::cuda
