// Ops that only move data.
#include <algorithm>

#include "cpu/rows.h"

namespace hb::cpu {

namespace {

constexpr int64_t kPiece = 1 << 16;  ///< elements or bytes per task

void copy_bytes(const OpContext& cx, void* to, const void* from, int64_t bytes) {
  parallel_for(cx, (bytes + kPiece - 1) / kPiece, [&](int64_t i, int) {
    const int64_t first = i * kPiece;
    std::memcpy(static_cast<char*>(to) + first, static_cast<const char*>(from) + first,
                static_cast<size_t>(std::min(kPiece, bytes - first)));
  });
}

}  // namespace

Status cast_cpu(const OpContext& cx, const Cast& a) {
  const int64_t n = a.x.elements();
  parallel_for(cx, (n + kPiece - 1) / kPiece, [&](int64_t i, int) {
    const int64_t first = i * kPiece;
    convert(cx, a.x.dtype, at(a.x, first), a.out.dtype, at(a.out, first), std::min(kPiece, n - first));
  });
  return Status::success();
}

Status concat_rows_cpu(const OpContext& cx, const ConcatRows& a) {
  copy_bytes(cx, a.out.data, a.a.data, storage_bytes(a.a));
  copy_bytes(cx, at(a.out, a.a.elements()), a.b.data, storage_bytes(a.b));
  return Status::success();
}

Status concat_columns_cpu(const OpContext& cx, const ConcatColumns& a) {
  const int64_t n = live_rows(a.rows, a.a.dims[0]), columns = a.out.dims[1];
  each_row(cx, n, columns * 8, [&](int64_t row) {
    int64_t to = row * columns;
    for (const TensorView* part : {&a.a, &a.b, &a.c}) {
      if (!*part) continue;
      const int64_t width = part->dims[1];
      std::memcpy(at(a.out, to), at(*part, row * width), static_cast<size_t>(width) * bytes_of(a.out.dtype));
      to += width;
    }
  });
  return Status::success();
}

Status copy_pages_cpu(const OpContext& cx, const CopyPages& a) {
  const int64_t pages = a.k_cache.dims[0], size = pages ? a.k_cache.elements() / pages : 0;
  const int64_t bytes = size * static_cast<int64_t>(bytes_of(a.k_cache.dtype));
  const auto* pair = a.pairs.as<const int32_t>();
  for (int64_t n = 0; n < a.pairs.dims[0]; ++n, pair += 2) {
    if (pair[0] < 0 || pair[1] < 0) continue;  // unused
    if (pair[0] >= pages || pair[1] >= pages) {
      *cx.flags |= kFlagIndexClamped;
      continue;
    }
    if (pair[0] == pair[1]) continue;
    copy_bytes(cx, at(a.k_cache, pair[1] * size), at(a.k_cache, pair[0] * size), bytes);
    copy_bytes(cx, at(a.v_cache, pair[1] * size), at(a.v_cache, pair[0] * size), bytes);
  }
  return Status::success();
}

Status emit_cpu(const OpContext& cx, const Emit& a) {
  if (a.when && *a.when.as<const int32_t>() == 0) return Status::success();
  cx.ring->push(static_cast<int32_t>(a.channel), a.payload.data, static_cast<size_t>(storage_bytes(a.payload)));
  return Status::success();
}

}  // namespace hb::cpu
