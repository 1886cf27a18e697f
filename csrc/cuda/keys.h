#pragma once
// Order among scored things, as 64-bit keys: larger values first, lower numbers first among equals. Keys of different
// numbers differ, so that a largest key is the same whatever the order in which keys are compared. Device code.
#include "cuda/prim/prim.h"

namespace hb::cuda {

constexpr uint64_t kNoKey = 0;  ///< below every key
constexpr float kInfinity = __builtin_huge_valf();

/// Rises with v, which is not NaN; both zeros alike. Never 0.
HB_DEVICE uint32_t ordered(float v) {
  const uint32_t u = as_u32(add_rn(v, 0.0f));
  return u & 0x80000000u ? ~u : u | 0x80000000u;
}
HB_DEVICE float unordered(uint32_t o) { return as_f32(o & 0x80000000u ? o & 0x7fffffffu : ~o); }

HB_DEVICE uint64_t key_of(float value, int32_t number) {
  return static_cast<uint64_t>(ordered(value)) << 32 | ~static_cast<uint32_t>(number);
}
HB_DEVICE float value_of(uint64_t key) { return unordered(static_cast<uint32_t>(key >> 32)); }
HB_DEVICE int32_t number_of(uint64_t key) { return static_cast<int32_t>(~static_cast<uint32_t>(key)); }

HB_DEVICE uint64_t max_key(uint64_t a, uint64_t b) { return a > b ? a : b; }

/// Every lane of a whole warp gets the largest.
HB_DEVICE uint64_t warp_max_key(uint64_t key HB_AND_SITE) {
  HB_UNROLL
  for (int step = 16; step > 0; step /= 2) key = max_key(key, shuffle_xor(kAllLanes, key, step HB_PASS_SITE));
  return key;
}

/// Every thread of the block gets the largest. `partial`: a word per warp of the block, in shared memory; nobody may
/// use it between this call and the next barrier of the block.
HB_DEVICE uint64_t block_max_key(uint64_t key, uint64_t* partial HB_AND_SITE) {
  key = warp_max_key(key HB_PASS_SITE);
  if (lane() == 0) partial[warp()] = key;
  sync_block();
  const unsigned warps = threads_x() / kWarpLanes;
  return warp_max_key(lane() < warps ? partial[lane()] : kNoKey HB_PASS_SITE);
}

/// Sum over the lanes of a warp up to and with this one. T: int32_t or double.
template <class T>
HB_DEVICE T warp_scan(T v HB_AND_SITE) {
  HB_UNROLL
  for (int step = 1; step < 32; step *= 2) {
    const T below = shuffle_up(kAllLanes, v, step HB_PASS_SITE);
    if (static_cast<int>(lane()) >= step) v = v + below;
  }
  return v;
}

/// Sorts n keys, a power of two from 64 on, smallest first; all threads of the block take part. Bitonic: log2(n)
/// (log2(n) + 1) / 2 rounds, of which only those across more than 64 keys need a barrier of the block. The keys may lie
/// in shared or global memory, complete before the call (a barrier) and after it.
HB_DEVICE void sort_keys(uint64_t* key, int n) {
  for (int size = 2; size <= n; size *= 2)
    for (int stride = size / 2; stride > 0; stride /= 2) {
      for (int p = static_cast<int>(thread_x()); p < n / 2; p += static_cast<int>(threads_x())) {
        const int low = 2 * p - (p & (stride - 1)), high = low + stride;
        const uint64_t x = key[low], y = key[high];
        if ((x > y) == ((low & size) == 0)) key[low] = y, key[high] = x;
      }
      // a warp keeps to the same 64 keys while strides are short
      const int next = stride > 1 ? stride / 2 : size;
      if (stride > 32 || next > 32 || size == n) {
        sync_block();
      } else {
        sync_warp(kAllLanes);
      }
    }
}

}  // namespace hb::cuda
