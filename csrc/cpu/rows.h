#pragma once
#include <cstring>

#include "cpu/kernels.h"

namespace hb::cpu {

/// Copies n elements between float dtypes, rounding to nearest even.
inline void convert(const OpContext& cx, DType from, const void* x, DType to, void* out, int64_t n) {
  if (from == to)
    std::memcpy(out, x, static_cast<size_t>(n) * bytes_of(to));
  else if (to == DType::f32)
    verbs(cx).widen_row(x, static_cast<float*>(out), n);
  else
    verbs(cx).narrow_row(static_cast<const float*>(x), out, n);
}

/// Sum with wrap-around.
inline int32_t plus(int32_t x, int64_t by) {
  return static_cast<int32_t>(static_cast<uint32_t>(x) + static_cast<uint32_t>(by));
}

/// Sets the flag when one of the first n indices is not in [0, size). One cheap pass, so that only this thread writes
/// the flags.
inline void flag_clamped(const OpContext& cx, const TensorView& indices, int64_t n, int64_t size) {
  const auto* list = indices.as<const int32_t>();
  for (int64_t i = 0; i < n; ++i)
    if (list[i] < 0 || list[i] >= size) {
      *cx.flags |= kFlagIndexClamped;
      return;
    }
}

/// Rows per task, so that a task moves some 16 KiB at least.
inline int64_t rows_per_task(int64_t row_bytes) {
  return row_bytes >= 16384 ? 1 : row_bytes < 16 ? 1024 : 16384 / row_bytes;
}

/// `body(row)` for every row below n, some rows per task.
template <class F>
void each_row(const OpContext& cx, int64_t n, int64_t row_bytes, F&& body) {
  const int64_t step = rows_per_task(row_bytes);
  parallel_for(cx, (n + step - 1) / step, [&](int64_t task, int) {
    for (int64_t row = task * step; row < n && row < (task + 1) * step; ++row) body(row);
  });
}

}  // namespace hb::cpu
