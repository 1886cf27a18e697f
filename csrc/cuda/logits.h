#pragma once
// Rows of logits in segments, one per block: what sample and draft_topk share. Device code.
#include "cuda/keys.h"
#include "cuda/prim/noise.h"
#include "cuda/prim/prim.h"

namespace hb::cuda {

constexpr int kLogitThreads = 256, kLogitGroups = 4;        ///< a thread has four groups of four neighbours
constexpr int kSegment = 4 * kLogitGroups * kLogitThreads;  ///< ids
constexpr float kLargest = __FLT_MAX__;

/// First id of group g of this thread in a segment.
HB_DEVICE int group_id(int segment, int g) {
  return segment * kSegment + 4 * (g * kLogitThreads + static_cast<int>(thread_x()));
}

/// Four logits of a row of v; -inf beyond its end. kWide: rows begin on 16 bytes and v is a multiple of 4.
template <bool kWide>
HB_DEVICE void load_group(float (&x)[4], const float* row, int id, int v) {
  if constexpr (kWide) {
    if (id < v) {
      load_row(x, row + id);
    } else {
      HB_UNROLL
      for (int j = 0; j < 4; ++j) x[j] = -kInfinity;
    }
  } else {
    HB_UNROLL
    for (int j = 0; j < 4; ++j) x[j] = id + j < v ? row[id + j] : -kInfinity;
  }
}

/// What is known of a row's logits, or of a segment's: the key of the largest number, kNoKey without one, and whether
/// there is a NaN or +inf.
struct Largest {
  uint64_t key;
  bool bad;
};

/// The row's, from its segments'. By a whole warp; every lane gets it.
HB_DEVICE Largest largest_of(const uint64_t* keys, const uint32_t* bad, int segments) {
  uint64_t key = kNoKey;
  bool any_bad = false;
  for (int s = static_cast<int>(lane()); s < segments; s += 32)
    key = max_key(key, keys[s]), any_bad = any_bad || bad[s];
  key = warp_max_key(key);
  any_bad = any(kAllLanes, any_bad);
  return {key, any_bad || key == kNoKey || value_of(key) == -kInfinity};
}

struct SegmentSmem {
  uint64_t key[kLogitThreads / kWarpLanes];
  uint32_t bad[kLogitThreads / kWarpLanes];
};

/// Of this block's segment. By the whole block; every thread gets it.
HB_DEVICE Largest largest_of_segment(const float (&x)[kLogitGroups][4], int segment, int v, SegmentSmem& smem) {
  float best = -kInfinity;
  int id = -1;
  bool bad = false;
  HB_UNROLL
  for (int g = 0; g < kLogitGroups; ++g) {
    const int first = group_id(segment, g);
    HB_UNROLL
    for (int j = 0; j < 4; ++j) {
      bad = bad || !(x[g][j] < kInfinity);
      if (x[g][j] > best || (id < 0 && x[g][j] == best && first + j < v)) best = x[g][j], id = first + j;
    }
  }
  bad = any(kAllLanes, bad);
  if (lane() == 0) smem.bad[warp()] = bad;
  const uint64_t key = block_max_key(id < 0 ? kNoKey : key_of(best, id), smem.key);
  return {key, any(kAllLanes, lane() < kLogitThreads / kWarpLanes && smem.bad[lane()] != 0)};
}

/// Sum over the block, the same bits for every thread; `partial`: a word per warp. A barrier must lie between two uses.
HB_DEVICE float block_sum(float v, float* partial) {
  v = warp_sum(v);
  if (lane() == 0) partial[warp()] = v;
  sync_block();
  return warp_sum(lane() < threads_x() / kWarpLanes ? partial[lane()] : 0.0f);
}

/// Gumbel draw of an id: see core/noise.h.
HB_DEVICE float gumbel_of_id(const uint32_t (&seed)[2], uint32_t position, int32_t id) {
  int32_t word[4];
  philox_words(seed, static_cast<uint32_t>(id) >> 2, position, Purpose::token, 0, word);
  const int which = id & 3;
  return gumbel_draw(which == 0 ? word[0] : which == 1 ? word[1] : which == 2 ? word[2] : word[3]);
}

}  // namespace hb::cuda
