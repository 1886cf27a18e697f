#pragma once
#include <string>

#include "core/status.h"

namespace hb::cpu {

/// A rate on one thread and on all of them together.
struct Rates {
  double one = 0, all = 0;
};

/// What this machine does at best, measured: flop/s with operands in registers, bytes/s read from a buffer of some
/// size.
struct Roofline {
  std::string isa;
  int threads = 1;
  Rates f32_flops, dot_flops;    ///< multiply-adds count 2; dot: bf16 dot products, 0 without them
  Rates l2_bytes, memory_bytes;  ///< per second
  double l2_buffer = 0;          ///< bytes per thread that `l2_bytes` was read from
  double memory_buffer = 0;      ///< bytes that `memory_bytes` was read from, over all threads
  double cache = 0;              ///< last-level cache as the processor reports it, bytes; 0: unknown
  double seconds = 0;            ///< what measuring took
};

/// Takes about a second of `threads` cores. Fails as `select` does, or with OUT_OF_MEMORY. `memory_limit` caps the
/// buffer: when it is below the cache, `memory_buffer` says so.
Status measure_roofline(const std::string& isa, int threads, double memory_limit, Roofline* result);

}  // namespace hb::cpu
