// Attention among the rows of a call. Here: the host's side and the f32 kernel, which also takes bf16 whose heads are
// wide or odd. dense_attention_mma.cu: bf16 on tensor cores.
//
// A row's keys are taken in tiles of 64 from its range's first on, so that a packed image has the bits that it has
// alone. Cost: 4 n^2 h d flops; the ViT's 4900 rows at 16 heads of 72: 0.11 TFLOP per layer.
#include "cuda/dense_attention.h"

#include "cuda/kernels.h"
#include "cuda/prim/prim.h"

namespace hb::cuda {
namespace {

constexpr int kRows = 16, kThreads = 128, kWarps = kThreads / static_cast<int>(kWarpLanes);
constexpr int kStep = 32;  ///< columns of keys staged at a time
constexpr int kMostColumns = 512;

template <int kColumns>
struct Smem {
  float q[kRows * kColumns];
  float k[kTileRanks * (kStep + 1)];
  float p[kTileRanks * kRows];  ///< raw scores, then weights: [key][row]
  float largest[kRows], sum[kRows], factor[kRows];
};

/// Block x: 16 rows; y: a head. Rows of the same range share their keys. A thread is a key while scores are made, a
/// column while values are summed. Every sum is one chain of FMAs in key order.
template <class T, int kColumns>
HB_KERNEL void HB_BOUNDS(kThreads, 3) dense_fma_kernel(DenseArgs<T> a) {
  constexpr int kPasses = kColumns / kThreads;
  HB_DYN_SMEM(raw);
  Smem<kColumns>& smem = *reinterpret_cast<Smem<kColumns>*>(raw);
  const int live = live_count(a.rows, a.n), begin = static_cast<int>(block_x()) * kRows;
  if (begin >= live) return;
  const int end = begin + kRows < live ? begin + kRows : live, head = static_cast<int>(block_y());
  const int thread = static_cast<int>(thread_x()), rank = thread % kTileRanks, part = thread / kTileRanks;
  const int64_t stride = int64_t{3} * a.h * a.d;
  const T *k = a.qkv + int64_t{a.h + head} * a.d, *v = k + int64_t{a.h} * a.d;
  const int width = a.d <= 32 ? 32 : a.d <= 64 ? 64 : kThreads, slices = kThreads / width;
  const int column = thread % width, slice = thread / width;

  for (int first = begin; first < end;) {
    const int rows = end_of_run(a, first, end, live) - first;
    const KeyRange keys = keys_of(a, first, live);
    sync_block();
    for (int i = thread; i < rows * a.d; i += kThreads)
      smem.q[i / a.d * kColumns + i % a.d] = widen(a.qkv[(first + i / a.d) * stride + int64_t{head} * a.d + i % a.d]);
    if (thread < kRows) smem.largest[thread] = -kInfinity, smem.sum[thread] = 0.0f;
    float acc[kPasses][kRows];
    HB_UNROLL
    for (int pass = 0; pass < kPasses; ++pass) {
      HB_UNROLL
      for (int i = 0; i < kRows; ++i) acc[pass][i] = 0.0f;
    }
    for (int base = keys.first; base < keys.last; base += kTileRanks) {
      const int count = keys.last - base < kTileRanks ? keys.last - base : kTileRanks;
      float dot[kRows / 2] = {};
      for (int c0 = 0; c0 < a.d; c0 += kStep) {
        const int columns = a.d - c0 < kStep ? a.d - c0 : kStep;
        sync_block();
        for (int i = thread; i < count * kStep; i += kThreads)
          if (i % kStep < columns)
            smem.k[i / kStep * (kStep + 1) + i % kStep] = widen(k[(base + i / kStep) * stride + c0 + i % kStep]);
        sync_block();
        if (rank < count) {
          for (int c = 0; c < columns; ++c) {
            const float key = smem.k[rank * (kStep + 1) + c];
            HB_UNROLL
            for (int i = 0; i < kRows / 2; ++i)
              if (part + 2 * i < rows) dot[i] = fma_rn(smem.q[(part + 2 * i) * kColumns + c0 + c], key, dot[i]);
          }
        }
      }
      if (rank < count) {
        HB_UNROLL
        for (int i = 0; i < kRows / 2; ++i)
          if (part + 2 * i < rows) smem.p[rank * kRows + part + 2 * i] = dot[i];
      }
      sync_block();
      for (int row = static_cast<int>(warp()); row < rows; row += kWarps) {
        const int near = static_cast<int>(lane()), far = near + static_cast<int>(kWarpLanes);
        const float x = near < count ? smem.p[near * kRows + row] : -kInfinity;
        const float y = far < count ? smem.p[far * kRows + row] : -kInfinity;
        const float before = smem.largest[row];
        float largest = x > before ? x : before;
        largest = warp_max(y > largest ? y : largest);
        const float u = near < count ? weight_of(x, largest, a.scale_log2) : 0.0f;
        const float w = far < count ? weight_of(y, largest, a.scale_log2) : 0.0f;
        if (near < count) smem.p[near * kRows + row] = u;
        if (far < count) smem.p[far * kRows + row] = w;
        const float factor = rescale(before, largest, a.scale_log2), sum = warp_sum(add_rn(u, w));
        sync_warp(kAllLanes);
        if (lane() == 0) {
          smem.largest[row] = largest;
          smem.factor[row] = factor;
          smem.sum[row] = fma_rn(smem.sum[row], factor, sum);
        }
      }
      sync_block();
      HB_UNROLL
      for (int pass = 0; pass < kPasses; ++pass) {
        const int c = column + pass * width;
        if (c < a.d) {
          HB_UNROLL
          for (int i = 0; i < kRows; ++i)
            if (slice + slices * i < rows) acc[pass][i] = mul_rn(acc[pass][i], smem.factor[slice + slices * i]);
          for (int at = 0; at < count; ++at) {
            const float value = widen(v[(base + at) * stride + c]);
            HB_UNROLL
            for (int i = 0; i < kRows; ++i)
              if (slice + slices * i < rows)
                acc[pass][i] = fma_rn(smem.p[at * kRows + slice + slices * i], value, acc[pass][i]);
          }
        }
      }
    }
    sync_block();
    HB_UNROLL
    for (int pass = 0; pass < kPasses; ++pass) {
      HB_UNROLL
      for (int i = 0; i < kRows; ++i) {
        const int row = slice + slices * i, c = column + pass * width;
        if (row < rows && c < a.d)
          a.out[(int64_t{first + row} * a.h + head) * a.d + c] =
              narrow<T>(mul_rn(acc[pass][i], inverse_of(smem.sum[row])));
      }
    }
    first += rows;
  }
}

}  // namespace

const char* dense_attention_limit(const DenseAttention& a) {
  return a.qkv.dims[3] > kMostColumns ? "heads of more than 512 columns" : nullptr;
}

Status dense_attention_cuda(const OpContext& cx, const DenseAttention& a) {
  const int64_t n = a.qkv.dims[0], h = a.qkv.dims[2], d = a.qkv.dims[3];
  if (n == 0 || h == 0 || d == 0) return Status::success();
  return with_type(a.qkv, [&](auto* t) {
    using T = std::remove_reference_t<decltype(*t)>;
    DenseArgs<T> args{};
    args.qkv = a.qkv.as<T>(), args.out = a.out.as<T>();
    args.ranges = a.ranges ? a.ranges.as<int32_t>() : nullptr;
    args.rows = a.rows ? a.rows.as<int32_t>() : nullptr;
    args.n = static_cast<int>(n), args.h = static_cast<int>(h), args.d = static_cast<int>(d);
    args.scale_log2 = static_cast<float>(a.scale * 1.4426950408889634);  // log2(e)
    const Stream stream = device(cx).stream;
    if constexpr (std::is_same_v<T, uint16_t>) {
      if (d % 8 == 0 && d <= kMostDenseMmaColumns && aligned16(a.qkv, a.out)) return launch_dense_mma(stream, args);
    }
    const Extent grid = {static_cast<unsigned>(ceil_div(args.n, kRows)), static_cast<unsigned>(h)};
    const bool narrow_heads = d <= kThreads;
    return launch(stream, narrow_heads ? dense_fma_kernel<T, kThreads> : dense_fma_kernel<T, kMostColumns>, grid,
                  {kThreads}, narrow_heads ? sizeof(Smem<kThreads>) : sizeof(Smem<kMostColumns>), args);
  });
}

}  // namespace hb::cuda
