#pragma once
// Numbers that come from data. Device code.
#include "cuda/flags.h"

namespace hb::cuda {

/// Sum with wrap-around.
HB_DEVICE int32_t plus(int32_t x, int32_t by) {
  return static_cast<int32_t>(static_cast<uint32_t>(x) + static_cast<uint32_t>(by));
}

HB_DEVICE int clamp_to(int v, int low, int high) { return v < low ? low : v > high ? high : v; }

/// An index clamped to [0, n), n at least 1.
HB_DEVICE int clamp_index(int v, int n) { return clamp_to(v, 0, n - 1); }

/// The same, telling when it had to.
HB_DEVICE int clamp_index(int v, int n, uint32_t* flags) {
  if (v < 0 || v >= n) raise<kFlagIndexClamped>(flags);
  return clamp_index(v, n);
}

}  // namespace hb::cuda
