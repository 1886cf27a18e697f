#include <cmath>

#include "cpu/kernels.h"

namespace hb::cpu {

namespace {

/// Pixels are cut into chunks by the image's shape alone, and chunks are combined in order: the bits do not depend on
/// threads.
struct Plan {
  int64_t channels, pixels, chunk, chunks, groups;
  explicit Plan(const GroupNorm& a) {
    constexpr int64_t kChunkElements = 32768;  // read twice, so a chunk should fit the second-level cache
    channels = a.x.dims[2], pixels = a.x.dims[0] * a.x.dims[1], groups = a.groups;
    chunk = channels < 1 || kChunkElements / channels < 1 ? 1 : kChunkElements / channels;
    chunks = (pixels + chunk - 1) / chunk;
  }
  int64_t pixels_of(int64_t index) const { return pixels - index * chunk < chunk ? pixels - index * chunk : chunk; }
  int64_t moments_bytes() const { return round_up(chunks * groups * 16, 64); }
  int64_t channel_bytes() const { return round_up(channels * 4, 64); }
};

/// Mean and sum of squared distances to it.
struct Moments {
  double mean, squares;
};

float value(const TensorView& t, int64_t i) {
  return t.dtype == DType::bf16 ? bf16_to_f32(t.as<const uint16_t>()[i]) : t.as<const float>()[i];
}

}  // namespace

size_t group_norm_workspace(const GroupNorm& a, int workers) {
  const Plan plan(a);
  return static_cast<size_t>(plan.moments_bytes() + (3 + 3 * workers) * plan.channel_bytes());
}

Status group_norm_cpu(const OpContext& cx, const GroupNorm& a) {
  const Plan plan(a);
  const int64_t c = plan.channels, width = c / plan.groups;
  if (c == 0 || plan.pixels == 0) return Status::success();
  const bool bf16 = a.x.dtype == DType::bf16;
  Moments* const moments = static_cast<Moments*>(cx.scratch);
  char* const scratch = static_cast<char*>(cx.scratch) + plan.moments_bytes();
  auto floats = [&](int64_t slot) { return reinterpret_cast<float*>(scratch + slot * plan.channel_bytes()); };

  parallel_for(cx, plan.chunks, [&](int64_t chunk, int worker) {
    float *near = floats(3 + 3 * worker), *sum = floats(4 + 3 * worker), *squares = floats(5 + 3 * worker);
    const int64_t pixels = plan.pixels_of(chunk);
    verbs(cx).channel_moments(bf16, at(a.x, chunk * plan.chunk * c), pixels, c, near, sum, squares);
    const double n = static_cast<double>(pixels);
    for (int64_t g = 0; g < plan.groups; ++g) {
      Moments m{0, 0};
      for (int64_t i = g * width; i < (g + 1) * width; ++i) m.mean += near[i] + sum[i] / n;
      m.mean /= static_cast<double>(width);
      for (int64_t i = g * width; i < (g + 1) * width; ++i) {
        // sum of (x - mean)^2 = sum of (x - near)^2 + 2 (near - mean) sum of (x - near) + n (near - mean)^2
        const double shift = near[i] - m.mean;
        m.squares += squares[i] + shift * (2.0 * sum[i] + n * shift);
      }
      moments[chunk * plan.groups + g] = m;
    }
  });

  float *mean = floats(0), *scale = floats(1), *bias = floats(2);
  for (int64_t g = 0; g < plan.groups; ++g) {
    double center = 0, squares = 0;
    for (int64_t i = 0; i < plan.chunks; ++i)
      center += moments[i * plan.groups + g].mean * static_cast<double>(plan.pixels_of(i));
    center /= static_cast<double>(plan.pixels);
    for (int64_t i = 0; i < plan.chunks; ++i) {
      const Moments& m = moments[i * plan.groups + g];
      const double shift = m.mean - center;
      squares += m.squares + static_cast<double>(plan.pixels_of(i) * width) * shift * shift;
    }
    if (squares < 0) squares = 0;
    const double inverse = 1.0 / std::sqrt(squares / static_cast<double>(plan.pixels * width) + a.eps);
    for (int64_t i = g * width; i < (g + 1) * width; ++i) {
      mean[i] = static_cast<float>(center);
      scale[i] = static_cast<float>(inverse * static_cast<double>(value(a.weight, i)));
      bias[i] = value(a.bias, i);
    }
  }
  parallel_for(cx, plan.chunks, [&](int64_t chunk, int) {
    GroupNormPixels g{};
    g.x = at(a.x, chunk * plan.chunk * c), g.out = at(a.out, chunk * plan.chunk * c);
    g.bf16 = bf16;
    g.pixels = plan.pixels_of(chunk), g.channels = c;
    g.mean = mean, g.scale = scale, g.bias = bias;
    g.swish = a.activation == 1;
    verbs(cx).group_norm_pixels(g);
  });
  return Status::success();
}

}  // namespace hb::cpu
