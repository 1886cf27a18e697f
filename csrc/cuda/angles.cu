// Sinusoids: angles in f32 as the reference computes them, cosine and sine of that angle in double, rounded once. A
// thread keeps its frequency for a few rows. 4098 rows of 128: 2 MB written, 262144 pairs of double functions, 5 us
// where doubles run at half rate, some 50 us on cards that have few of them; once per step of a model.
#include <cmath>

#include "cuda/indices.h"
#include "cuda/kernels.h"
#include "cuda/launch.h"

namespace hb::cuda {
namespace {

constexpr int kMostThreads = 256, kRowsPerBlock = 16;

/// Where rows get their factor from, and frequencies.
struct Positions {
  const int32_t *positions, *rows;
  int n;
  double theta;
  HB_DEVICE int live() const { return live_count(rows, n); }
  HB_DEVICE float frequency(int i, int half) const {
    return static_cast<float>(pow_f64(theta, -static_cast<double>(i) / static_cast<double>(half)));
  }
  HB_DEVICE float factor(int row) const { return static_cast<float>(positions[row]); }
};
struct Times {
  const float* times;
  const int32_t* step;
  int n, steps, columns, column;
  double log_base;
  uint32_t* flags;
  HB_DEVICE int live() const { return n; }
  HB_DEVICE float frequency(int i, int half) const {
    return static_cast<float>(exp_f64(-log_base * static_cast<double>(i) / static_cast<double>(half)));
  }
  HB_DEVICE float factor(int row) const {
    return times[int64_t{clamp_index(step[row], steps, flags)} * columns + column];
  }
};

template <class Source, class T>
HB_KERNEL void HB_BOUNDS(kMostThreads, 2) angles_kernel(Source source, T* out, int half) {
  const int first = static_cast<int>(block_x()) * kRowsPerBlock, live = source.live();
  const int end = first + kRowsPerBlock < live ? first + kRowsPerBlock : live;
  if (first >= end) return;
  for (int i = static_cast<int>(thread_x()); i < half; i += static_cast<int>(threads_x())) {
    const float frequency = source.frequency(i, half);
    for (int row = first; row < end; ++row) {
      float sine, cosine;
      sin_cos(mul_rn(source.factor(row), frequency), sine, cosine);
      T* to = out + int64_t{row} * 2 * half;
      to[i] = narrow<T>(cosine);
      to[half + i] = narrow<T>(sine);
    }
  }
}

template <class Source, class T>
Status put_angles(const OpContext& cx, const Source& source, T* out, int half) {
  if (source.n == 0) return Status::success();
  const unsigned blocks = static_cast<unsigned>((source.n + kRowsPerBlock - 1) / kRowsPerBlock);
  const unsigned threads = static_cast<unsigned>(half < kMostThreads ? (half + 31) / 32 * 32 : kMostThreads);
  return launch(device(cx).stream, angles_kernel<Source, T>, {blocks}, {threads}, 0, source, out, half);
}

}  // namespace

Status rope_table_cuda(const OpContext& cx, const RopeTable& a) {
  const Positions source = {a.positions.as<int32_t>(), a.rows ? a.rows.as<int32_t>() : nullptr,
                            static_cast<int>(a.positions.dims[0]), a.theta};
  return put_angles(cx, source, a.out.as<float>(), static_cast<int>(a.dim / 2));
}

Status time_embedding_cuda(const OpContext& cx, const TimeEmbedding& a) {
  const Times source = {a.times.as<float>(),
                        a.step.as<int32_t>(),
                        static_cast<int>(a.step.dims[0]),
                        static_cast<int>(a.times.dims[0]),
                        static_cast<int>(a.times.dims[1]),
                        static_cast<int>(a.column),
                        std::log(10000.0),
                        device(cx).flags};
  return with_type(a.out, [&](auto* t) {
    return put_angles(cx, source, a.out.as<std::remove_reference_t<decltype(*t)>>(), static_cast<int>(a.dim / 2));
  });
}

}  // namespace hb::cuda
