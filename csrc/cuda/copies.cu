// Ops that only move data, by units of up to 16 bytes.
#include "cuda/element.h"
#include "cuda/flags.h"

namespace hb::cuda {
namespace {

/// Bytes of a tensor's elements, or of `n` of them.
int64_t bytes_of_elements(const TensorView& t, int64_t n) { return n * static_cast<int64_t>(bytes_of(t.dtype)); }

template <class U>
struct Copy {
  U* to;
  const U* from;
  HB_DEVICE void operator()(int64_t i) const { copy_unit(to + i, from + i); }
};

Status copy_bytes(const OpContext& cx, void* to, const void* from, int64_t bytes) {
  return with_unit(
      [&](auto* unit) {
        using U = std::remove_reference_t<decltype(*unit)>;
        return each(cx, bytes / static_cast<int64_t>(sizeof(U)),
                    Copy<U>{static_cast<U*>(to), static_cast<const U*>(from)});
      },
      bytes, reinterpret_cast<uint64_t>(to), reinterpret_cast<uint64_t>(from));
}

/// Columns of three tensors side by side.
template <class U>
struct Concat {
  U* to;
  const U *a, *b, *c;
  int a_width, b_width, width, n;
  const int32_t* rows;
  HB_DEVICE void operator()(int row, int column) const {
    if (row >= live_count(rows, n)) return;
    const int past_a = column - a_width, past_b = past_a - b_width;
    const U* from = past_a < 0   ? a + int64_t{row} * a_width + column
                    : past_b < 0 ? b + int64_t{row} * b_width + past_a
                                 : c + int64_t{row} * (width - a_width - b_width) + past_b;
    copy_unit(to + int64_t{row} * width + column, from);
  }
};

/// One page of keys or values, in the order of the pairs.
template <class U>
struct CopyPage {
  U *keys, *values;
  const int32_t* pairs;
  int64_t units;
  int count, pages;
  uint32_t* flags;
  /// A thread does its unit of every pair: a page may be the source of a later pair, and the order is then the result.
  HB_DEVICE void operator()(int64_t i) const {
    for (int n = 0; n < count; ++n) {
      const int from = pairs[2 * n], to = pairs[2 * n + 1];
      if (from < 0 || to < 0) continue;  // unused
      if (from >= pages || to >= pages) {
        if (i == 0) raise<kFlagIndexClamped>(flags);
        continue;
      }
      if (from == to) continue;
      copy_unit(keys + to * units + i, keys + from * units + i);
      copy_unit(values + to * units + i, values + from * units + i);
    }
  }
};

/// `row`: one of the image; `column`: a unit of it.
template <class U>
struct Patches {
  U* to;
  const U* from;
  int patch, patch_units, columns;
  HB_DEVICE void operator()(int row, int column) const {
    const int x = column / patch_units, within = column % patch_units;
    const int64_t n = int64_t{row / patch} * columns + x;
    copy_unit(to + (n * patch + row % patch) * patch_units + within,
              from + (int64_t{row} * columns + x) * patch_units + within);
  }
};

/// `row`: one of the output; `column`: a unit of it.
template <class U>
struct Upsample {
  U* to;
  const U* from;
  int factor, pixel_units, row_units;
  HB_DEVICE void operator()(int row, int column) const {
    const int x = column / pixel_units / factor, within = column % pixel_units;
    copy_unit(to + int64_t{row} * row_units + column,
              from + int64_t{row / factor} * (row_units / factor) + x * pixel_units + within);
  }
};

}  // namespace

Status concat_rows_cuda(const OpContext& cx, const ConcatRows& a) {
  const int64_t first = storage_bytes(a.a);
  if (Status s = copy_bytes(cx, a.out.data, a.a.data, first); !s.ok()) return s;
  return copy_bytes(cx, a.out.as<char>() + first, a.b.data, storage_bytes(a.b));
}

Status concat_columns_cuda(const OpContext& cx, const ConcatColumns& a) {
  const int64_t n = a.a.dims[0];
  const int64_t widths[] = {bytes_of_elements(a.a, a.a.dims[1]), bytes_of_elements(a.b, a.b.dims[1]),
                            bytes_of_elements(a.out, a.out.dims[1])};
  return with_unit(
      [&](auto* unit) {
        using U = std::remove_reference_t<decltype(*unit)>;
        const auto units = [](int64_t bytes) { return static_cast<int>(bytes / static_cast<int64_t>(sizeof(U))); };
        const Concat<U> body{a.out.as<U>(),    a.a.as<U>(),         a.b.as<U>(),
                             a.c.as<U>(),      units(widths[0]),    units(widths[1]),
                             units(widths[2]), static_cast<int>(n), a.rows ? a.rows.as<int32_t>() : nullptr};
        return each_in_rows(cx, n, body.width, body);
      },
      widths[0], widths[1], widths[2], address(a.out), address(a.a), address(a.b), address(a.c));
}

Status copy_pages_cuda(const OpContext& cx, const CopyPages& a) {
  const int64_t pages = a.k_cache.dims[0];
  const int64_t bytes = pages ? bytes_of_elements(a.k_cache, a.k_cache.elements() / pages) : 0;
  return with_unit(
      [&](auto* unit) {
        using U = std::remove_reference_t<decltype(*unit)>;
        const CopyPage<U> body{a.k_cache.as<U>(),
                               a.v_cache.as<U>(),
                               a.pairs.as<int32_t>(),
                               bytes / static_cast<int64_t>(sizeof(U)),
                               static_cast<int>(a.pairs.dims[0]),
                               static_cast<int>(pages),
                               device(cx).flags};
        return each(cx, body.units, body);
      },
      bytes, address(a.k_cache), address(a.v_cache));
}

Status patchify_cuda(const OpContext& cx, const Patchify& a) {
  const int64_t columns = a.x.dims[1] / a.patch, patch = bytes_of_elements(a.x, a.patch * a.x.dims[2]);
  return with_unit(
      [&](auto* unit) {
        using U = std::remove_reference_t<decltype(*unit)>;
        const Patches<U> body{a.out.as<U>(), a.x.as<U>(), static_cast<int>(a.patch),
                              static_cast<int>(patch / static_cast<int64_t>(sizeof(U))), static_cast<int>(columns)};
        return each_in_rows(cx, a.x.dims[0], columns * body.patch_units, body);
      },
      patch, address(a.out), address(a.x));
}

Status upsample_nearest_cuda(const OpContext& cx, const UpsampleNearest& a) {
  const int64_t pixel = bytes_of_elements(a.x, a.x.dims[2]);
  return with_unit(
      [&](auto* unit) {
        using U = std::remove_reference_t<decltype(*unit)>;
        const int units = static_cast<int>(pixel / static_cast<int64_t>(sizeof(U)));
        const Upsample<U> body{a.out.as<U>(), a.x.as<U>(), static_cast<int>(a.factor), units,
                               static_cast<int>(a.out.dims[1]) * units};
        return each_in_rows(cx, a.out.dims[0], body.row_units, body);
      },
      pixel, address(a.out), address(a.x));
}

}  // namespace hb::cuda
