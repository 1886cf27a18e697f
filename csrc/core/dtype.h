#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/host_device.h"

namespace hb {

/// Element types of tensors. The order is part of the native surface (`lib/tensor/dtype.ts` reads the names from
/// `describe()`).
enum class DType : uint8_t { f32, bf16, i32, u8 };
inline constexpr int kDTypeCount = 4;
inline constexpr const char* kDTypeNames[kDTypeCount] = {"f32", "bf16", "i32", "u8"};

constexpr size_t bytes_of(DType t) { return t == DType::u8 ? 1 : t == DType::bf16 ? 2 : 4; }
constexpr const char* name_of(DType t) { return kDTypeNames[static_cast<int>(t)]; }

/// A set of dtypes, one bit each.
using DTypeSet = uint8_t;
constexpr DTypeSet set_of(DType t) { return static_cast<DTypeSet>(1u << static_cast<int>(t)); }
inline constexpr DTypeSet kF32 = set_of(DType::f32), kBF16 = set_of(DType::bf16), kI32 = set_of(DType::i32),
                          kU8 = set_of(DType::u8), kFloat = kF32 | kBF16, kAny = kFloat | kI32 | kU8;

HB_HD inline float bf16_to_f32(uint16_t h) {
  uint32_t u = static_cast<uint32_t>(h) << 16;
  float f;
  std::memcpy(&f, &u, 4);
  return f;
}

/// Round to nearest, ties to even; a NaN stays a quiet NaN.
HB_HD inline uint16_t f32_to_bf16(float f) {
  uint32_t u;
  std::memcpy(&u, &f, 4);
  if ((u & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((u >> 16) | 0x40u);
  return static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

}  // namespace hb
