#pragma once
// How records and flags leave a device: kernels write them into host memory, and the host reads them once the job's
// fence has passed. Nothing in a program waits for it.
#include <cstdint>

#include "core/host_device.h"
#include "core/op_context.h"

namespace hb {

/// In device memory; only the kernel of `emit` changes it, in queue order.
struct RingState {
  uint8_t* records;     ///< host memory
  uint64_t capacity;    ///< its bytes, a power of two
  uint64_t head;        ///< bytes written since the beginning; place in the buffer: modulo capacity
  uint64_t* published;  ///< host memory: `head` behind the last record that is complete
};

/// Stands before a record's bytes. Records begin at multiples of its size.
struct RingHeader {
  int32_t channel;
  uint32_t unused;
  uint64_t bytes;
};
static_assert(sizeof(RingHeader) == 16);

/// Room that a record takes.
HB_HD constexpr uint64_t ring_bytes(uint64_t payload) { return sizeof(RingHeader) + (payload + 15) / 16 * 16; }

/// Flags on a device are words of host memory, one per bit of enum Flag, into which kernels store 1. A store, unlike an
/// or, needs no atomics across the bus; the host takes a word by exchanging it with 0.
inline constexpr int kFlagWords = 2;
HB_HD constexpr int flag_word(Flag flag) {
  int word = 0;
  for (uint32_t bits = flag; bits > 1; bits >>= 1) ++word;
  return word;
}
static_assert(flag_word(kFlagNotANumber) == kFlagWords - 1);

}  // namespace hb
