#pragma once
#include "core/dtype.h"

namespace hb {

inline constexpr int kMaxRank = 5;

/// How a tensor's elements lie in memory. `plain` is row-major. `packed` is a linear weight [M, K] in the layout that
/// the backend's linear wants: on the cpu panels of 16 rows (see cpu/pack.h), on a device rows of packed_columns()
/// elements; its dims stay the logical ones.
enum class Layout : uint8_t { plain, packed };

/// What a kernel sees: it owns nothing. An absent optional operand has `data == nullptr` and rank 0.
struct TensorView {
  void* data = nullptr;
  int64_t dims[kMaxRank] = {};
  int32_t rank = 0;
  DType dtype = DType::f32;
  Layout layout = Layout::plain;
  bool present = false;

  explicit operator bool() const { return present; }
  int64_t elements() const {
    int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= dims[i];
    return n;
  }
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

inline constexpr int64_t kPanel = 16;  ///< weight rows per panel of the packed layout

/// Columns of a packed weight: bf16 panels hold pairs of columns and are padded to 32 for tile instructions.
constexpr int64_t packed_columns(int64_t k, DType t) { return t == DType::bf16 ? (k + 31) / 32 * 32 : k; }

/// Bytes of a tensor's storage. Packed: ceil(M / 16) panels of 16 rows; f32 panels are [K][16], bf16 panels [K /
/// 2][16][2].
inline int64_t storage_bytes(const TensorView& t) {
  const int64_t size = static_cast<int64_t>(bytes_of(t.dtype));
  if (t.layout == Layout::plain) return t.elements() * size;
  return (t.dims[0] + kPanel - 1) / kPanel * kPanel * packed_columns(t.dims[1], t.dtype) * size;
}

}  // namespace hb
