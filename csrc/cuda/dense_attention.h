#pragma once
#include "core/status.h"
#include "cuda/attention_rows.h"
#include "cuda/launch.h"

namespace hb::cuda {

/// Operands of dense_attention.
template <class T>
struct DenseArgs {
  const T* qkv;
  const int32_t *ranges, *rows;
  T* out;
  int n, h, d;
  float scale_log2;  ///< scale * log2(e)
};

/// Keys `first` .. `last` - 1.
struct KeyRange {
  int first, last;
};

template <class T>
HB_DEVICE KeyRange keys_of(const DenseArgs<T>& a, int row, int live) {
  if (!a.ranges) return {0, live};
  const int first = clamp_to(a.ranges[2 * row], live), last = clamp_to(a.ranges[2 * row + 1], live);
  return {first, last < first ? first : last};
}

/// First row after `row`, at most `end`, that does not see the keys that `row` sees.
template <class T>
HB_DEVICE int end_of_run(const DenseArgs<T>& a, int row, int end, int live) {
  const KeyRange keys = keys_of(a, row, live);
  int next = row + 1;
  for (; next < end; ++next) {
    const KeyRange other = keys_of(a, next, live);
    if (other.first != keys.first || other.last != keys.last) break;
  }
  return next;
}

/// bf16 heads of D columns, D a multiple of 8 up to 128, on tensor cores; tensors aligned to 16 bytes.
constexpr int kMostDenseMmaColumns = 128;
Status launch_dense_mma(Stream stream, const DenseArgs<uint16_t>& a);

}  // namespace hb::cuda
