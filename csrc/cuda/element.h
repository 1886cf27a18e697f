#pragma once
// The one launch shape of ops that are the same for every element or every row: copies, lookups, maps of values. A
// kernel is a struct whose members are its arguments and whose call operator does one element.
#include "cuda/kernels.h"
#include "cuda/launch.h"
#include "cuda/prim/prim.h"

namespace hb::cuda {

constexpr unsigned kElementThreads = 256;

template <class F>
HB_KERNEL void HB_BOUNDS(kElementThreads, 4) each_kernel(int64_t n, F body) {
  const int64_t i = int64_t{block_x()} * threads_x() + thread_x();
  if (i < n) body(i);
}

template <class F>
HB_KERNEL void HB_BOUNDS(kElementThreads, 4) each_in_rows_kernel(int columns, F body) {
  for (int c = static_cast<int>(thread_x()); c < columns; c += static_cast<int>(threads_x())) {
    body(static_cast<int>(block_x()), c);
  }
}

/// `body(i)` for every i below n.
template <class F>
Status each(const OpContext& cx, int64_t n, const F& body) {
  if (n == 0) return Status::success();
  const int64_t blocks = (n + kElementThreads - 1) / kElementThreads;
  return launch(device(cx).stream, each_kernel<F>, {static_cast<unsigned>(blocks)}, {kElementThreads}, 0, n, body);
}

/// `body(row, column)` for every pair: a block per row, so that what a row needs is read once per thread.
template <class F>
Status each_in_rows(const OpContext& cx, int64_t rows, int64_t columns, const F& body) {
  if (rows == 0 || columns == 0) return Status::success();
  const int64_t whole = (columns + kWarpLanes - 1) / kWarpLanes * kWarpLanes;
  const unsigned threads = whole < kElementThreads ? static_cast<unsigned>(whole) : kElementThreads;
  return launch(device(cx).stream, each_in_rows_kernel<F>, {static_cast<unsigned>(rows)}, {threads}, 0,
                static_cast<int>(columns), body);
}

/// Elements of one step of a wide body: 16 bytes of bf16, 32 of f32.
constexpr int kWide = 8;

/// Elements of one step: kWide where `wide`, else 1.
template <bool wide, class T>
HB_DEVICE void load_step(float (&v)[wide ? kWide : 1], const T* from) {
  if constexpr (wide) {
    load_row(v, from);
  } else {
    v[0] = widen(*from);
  }
}
template <bool wide, class T>
HB_DEVICE void store_step(T* to, const float (&v)[wide ? kWide : 1]) {
  if constexpr (wide) {
    store_row(to, v);
  } else {
    *to = narrow<T>(v[0]);
  }
}

/// Calls `f` with a null pointer to the largest of Vec16, uint32_t, uint16_t and uint8_t whose size divides all the
/// numbers: how ops that only move bytes choose what to move them by. Addresses count as numbers.
template <class F, class... N>
Status with_unit(F&& f, N... numbers) {
  const uint64_t bits = (static_cast<uint64_t>(numbers) | ...);
  if (bits % 16 == 0) return f(static_cast<Vec16*>(nullptr));
  if (bits % 4 == 0) return f(static_cast<uint32_t*>(nullptr));
  if (bits % 2 == 0) return f(static_cast<uint16_t*>(nullptr));
  return f(static_cast<uint8_t*>(nullptr));
}
inline uint64_t address(const TensorView& t) { return reinterpret_cast<uint64_t>(t.data); }

template <class T>
HB_DEVICE void copy_unit(T* to, const T* from) {
  *to = *from;
}
HB_DEVICE void copy_unit(Vec16* to, const Vec16* from) { store16(to, load16(from)); }

}  // namespace hb::cuda
