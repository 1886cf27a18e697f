// Sinusoids: angles in f32 as the reference computes them, cosine and sine of that angle in double, rounded once.
#include <cmath>

#include "cpu/rows.h"

namespace hb::cpu {

namespace {

void put(const TensorView& out, int64_t index, double value) {
  if (out.dtype == DType::bf16)
    out.as<uint16_t>()[index] = f32_to_bf16(static_cast<float>(value));
  else
    out.as<float>()[index] = static_cast<float>(value);
}

/// out[row] = [cos | sin] of factor * frequency[i].
void put_angles(const TensorView& out, int64_t row, float factor, const float* frequency, int64_t half) {
  for (int64_t i = 0; i < half; ++i) {
    const float angle = factor * frequency[i];
    put(out, row * 2 * half + i, std::cos(static_cast<double>(angle)));
    put(out, row * 2 * half + half + i, std::sin(static_cast<double>(angle)));
  }
}

}  // namespace

size_t rope_table_workspace(const RopeTable& a, int) { return static_cast<size_t>(round_up(a.dim / 2 * 4, 64)); }

Status rope_table_cpu(const OpContext& cx, const RopeTable& a) {
  const int64_t n = live_rows(a.rows, a.positions.dims[0]), half = a.dim / 2;
  float* frequency = static_cast<float*>(cx.scratch);
  for (int64_t i = 0; i < half; ++i)
    frequency[i] = static_cast<float>(std::pow(a.theta, -static_cast<double>(i) / static_cast<double>(half)));
  each_row(cx, n, a.dim * 64, [&](int64_t row) {
    put_angles(a.out, row, static_cast<float>(a.positions.as<const int32_t>()[row]), frequency, half);
  });
  return Status::success();
}

size_t time_embedding_workspace(const TimeEmbedding& a, int) {
  return static_cast<size_t>(round_up(a.dim / 2 * 4, 64));
}

Status time_embedding_cpu(const OpContext& cx, const TimeEmbedding& a) {
  const int64_t n = a.step.dims[0], half = a.dim / 2, steps = a.times.dims[0], columns = a.times.dims[1];
  flag_clamped(cx, a.step, n, steps);
  float* frequency = static_cast<float*>(cx.scratch);
  for (int64_t i = 0; i < half; ++i)
    frequency[i] =
        static_cast<float>(std::exp(-std::log(10000.0) * static_cast<double>(i) / static_cast<double>(half)));
  each_row(cx, n, a.dim * 64, [&](int64_t row) {
    const int64_t step = clamp_index(a.step.as<const int32_t>()[row], steps);
    put_angles(a.out, row, a.times.as<const float>()[step * columns + a.column], frequency, half);
  });
  return Status::success();
}

}  // namespace hb::cpu
