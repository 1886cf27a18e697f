#pragma once
// Flags that kernels raise when data made them clamp. A flag is a word of its own, into which 1 is stored: no atomics
// across the bus to host memory. Included by device code.
#include "core/op_context.h"
#include "cuda/prim/prim.h"

namespace hb::cuda {

/// The word of a flag: the number of its bit.
HB_HD constexpr int word_of(Flag flag) {
  int word = 0;
  for (uint32_t bits = flag; bits > 1; bits >>= 1) ++word;
  return word;
}

/// Raises a flag; `flags` is that of Device, which may be null.
template <Flag flag>
HB_DEVICE void raise(uint32_t* flags) {
  constexpr int word = word_of(flag);
  if (flags) flags[word] = 1;
}

}  // namespace hb::cuda
