#pragma once
#include <cstdint>

/// The one list of what is counted. The figures depend on the kernel, its arguments and the grid only, not on the
/// schedule or on the machine.
#define HB_SIMT_COUNTERS(X)                                                            \
  X(launches)                                                                          \
  X(blocks)                                                                            \
  X(threads)                                                                           \
  X(block_barriers)      /* completed, named ones too */                               \
  X(warp_collectives)    /* shuffles, votes, warp barriers and what follows */         \
  X(mma)                 /* m16n8k16, per warp */                                      \
  X(ldmatrix_wavefronts) /* 128-byte passes over shared memory; 1 per 8x8 matrix */    \
  X(shared_wavefronts)   /* the same for loads and stores of 16 bytes by primitives */ \
  X(copy_async_bytes)    /* read by cp.async */                                        \
  X(load_bytes)          /* by load primitives of 16 bytes */                          \
  X(store_bytes)                                                                       \
  X(atomics)

namespace hb::simt {

struct Counters {
#define HB_COUNTER(name) uint64_t name = 0;
  HB_SIMT_COUNTERS(HB_COUNTER)
#undef HB_COUNTER

  void add(const Counters& other) {
#define HB_COUNTER(name) name += other.name;
    HB_SIMT_COUNTERS(HB_COUNTER)
#undef HB_COUNTER
  }
};

}  // namespace hb::simt
