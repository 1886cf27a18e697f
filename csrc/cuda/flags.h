#pragma once
// Flags that kernels raise when data made them clamp. A flag is a word of its own, into which 1 is stored: no atomics
// across the bus to host memory. Included by device code.
#include "core/device_ring.h"
#include "cuda/prim/prim.h"

namespace hb::cuda {

/// Raises a flag; `flags` is that of Device, which may be null.
template <Flag flag>
HB_DEVICE void raise(uint32_t* flags) {
  constexpr int word = flag_word(flag);
  if (flags) flags[word] = 1;
}

}  // namespace hb::cuda
