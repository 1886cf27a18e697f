#pragma once
// top_k and top_p: which part of a row's order "larger logits first, lower ids first among equals" is kept. One block
// per row. First the short way: the ids that can be among the best few hundred, found by the maxima of chunks, sorted;
// then the token is drawn at once. 152064 ids: 10 KB of maxima 32 times from L1, some 60 KB of logits: 10 us. Rows too
// flat for it, and large k, go the long way: eight-way search for the last logit that is kept, 11 passes over the
// row from L2, some 15 us each; rare.
#include "cuda/sample_rows.h"

namespace hb::cuda {

constexpr int kFilterThreads = 512, kFilterWarps = kFilterThreads / kWarpLanes;
constexpr int kShortList = 256;     ///< ids tried to cover top_p
constexpr int kLongestList = 1024;  ///< largest top_k that goes the short way
constexpr int kListRoom = 2048;
constexpr int kCuts = 7;  ///< of the eight-way search

struct FilterSmem {
  uint64_t list[kListRoom];
  uint64_t partial[kFilterWarps];
  double mass[kFilterWarps][kCuts];
  int32_t count[kFilterWarps][kCuts];
  double mass_sum[kCuts], total;
  int32_t count_sum[kCuts], listed, kept;
  uint64_t largest;
  uint32_t bad;
};

/// Sum over a warp, the same bits for every lane.
HB_DEVICE double warp_sum_f64(double v) {
  HB_UNROLL
  for (int step = 16; step > 0; step /= 2) v = v + shuffle_xor(kAllLanes, v, step);
  return v;
}

/// Sums of every thread's counts (and masses) over the block into smem.count_sum, mass_sum.
template <bool kMass>
HB_DEVICE void sum_cuts(const int32_t (&count)[kCuts], const double (&mass)[kCuts], FilterSmem& smem) {
  HB_UNROLL
  for (int d = 0; d < kCuts; ++d) {
    const int32_t c = static_cast<int32_t>(reduce_add(kAllLanes, static_cast<uint32_t>(count[d])));
    double m = 0;
    if constexpr (kMass) m = warp_sum_f64(mass[d]);
    if (lane() == 0) smem.count[warp()][d] = c, smem.mass[warp()][d] = m;
  }
  sync_block();
  if (thread_x() < kCuts) {
    int32_t c = 0;
    double m = 0;
    for (int w = 0; w < kFilterWarps; ++w) c += smem.count[w][thread_x()], m = m + smem.mass[w][thread_x()];
    smem.count_sum[thread_x()] = c, smem.mass_sum[thread_x()] = m;
  }
  sync_block();
}

/// The want-th largest of the maxima of chunks, as of ordered(): at least `want` logits reach it. want < chunks.
HB_DEVICE uint32_t chunk_pivot(const float* max, int chunks, int want, FilterSmem& smem) {
  uint32_t pivot = 0;
  for (int bit = 31; bit >= 0; --bit) {
    const uint32_t trial = pivot | 1u << bit;
    uint32_t count = 0;
    for (int c = static_cast<int>(thread_x()); c < chunks; c += kFilterThreads) count += ordered(max[c]) >= trial;
    count = reduce_add(kAllLanes, count);
    int32_t (*slot)[kCuts] = smem.count;
    const int column = bit % 2;  // the next round writes another column: one barrier each
    if (lane() == 0) slot[warp()][column] = static_cast<int32_t>(count);
    sync_block();
    const int reached = static_cast<int>(
        reduce_add(kAllLanes, lane() < kFilterWarps ? static_cast<uint32_t>(slot[lane()][column]) : 0u));
    if (reached >= want) pivot = trial;
  }
  sync_block();
  return pivot;
}

/// Keys of all logits that reach the pivot, best first, as ~key. Returns how many, or -1 when there is no room.
HB_DEVICE int list_best(const SampleArgs& a, int row, uint32_t pivot, FilterSmem& smem) {
  const float* x = a.logits + int64_t{row} * a.v;
  const float* max = a.chunk_max + int64_t{row} * a.chunks;
  if (thread_x() == 0) smem.listed = 0;
  sync_block();
  for (int base = static_cast<int>(warp()) * 32; base < a.chunks; base += kFilterThreads) {
    const int mine = base + static_cast<int>(lane());
    uint32_t reaching = ballot(kAllLanes, mine < a.chunks && ordered(max[mine]) >= pivot);
    for (; reaching; reaching &= reaching - 1) {
      const int first = (base + first_set(reaching) - 1) * kChunk + static_cast<int>(lane());
      HB_UNROLL
      for (int id = first; id < first + kChunk; id += 32) {
        if (id >= a.v || ordered(x[id]) < pivot) continue;
        const int place = atomic_add(&smem.listed, 1);
        if (place < kListRoom) smem.list[place] = ~key_of(x[id], id);
      }
    }
  }
  sync_block();
  const int count = smem.listed;
  if (count > kListRoom) return -1;
  int padded = 64;
  while (padded < count) padded *= 2;
  for (int i = count + static_cast<int>(thread_x()); i < padded; i += kFilterThreads) smem.list[i] = ~uint64_t{0};
  sync_block();
  sort_keys(smem.list, padded);
  return count;
}

/// Mass of a whole row from that of its segments, each relative to its own largest logit. By one warp.
HB_DEVICE double row_mass(const SampleArgs& a, int row, float m, float t) {
  const uint64_t* key = a.segment_key + int64_t{row} * a.segments;
  double sum = 0;
  for (int s = static_cast<int>(lane()); s < a.segments; s += 32)
    if (key[s] != kNoKey)
      sum = sum + a.segment_mass[int64_t{row} * a.segments + s] *
                      exp_f64(static_cast<double>(scaled(value_of(key[s]), m, t)));
  return warp_sum_f64(sum);
}

/// How many of the n best are kept; by one warp. n when none of them is left out.
HB_DEVICE int kept_of_list(const SampleSettings& s, float m, int n, double total, const uint64_t* list) {
  if (s.p < 1 && s.k > 0) {
    total = 0;
    for (int i = static_cast<int>(lane()); i < n; i += 32)
      total = total + exp_f64(static_cast<double>(scaled(value_of(~list[i]), m, s.t)));
    total = warp_sum_f64(total);
  }
  double before = 0;
  for (int base = 0; base < n; base += 32) {
    const int i = base + static_cast<int>(lane());
    const float d = i < n ? scaled(value_of(~list[i]), m, s.t) : -kInfinity;
    const double e = s.p < 1 ? exp_f64(static_cast<double>(d)) : 0;
    const double up_to = before + warp_scan(e);
    const bool out = i > 0 && i < n && ((s.p < 1 && !(up_to - e < s.p * total)) || d < s.floor);
    const uint32_t outs = ballot(kAllLanes, out);
    if (outs) return base + first_set(outs) - 1;
    before = shuffle(kAllLanes, up_to, 31);
  }
  return n;
}

/// A place in the order of a row: how many logits lie above `pivot`, and their mass.
struct Cut {
  uint32_t pivot;
  int count;
  double mass;
};

/// The smallest logit of which less than `most` logits, and less than `mass`, lie above.
template <bool kMass>
HB_DEVICE Cut find_cut(const SampleArgs& a, int row, float m, float t, int most, double mass, FilterSmem& smem) {
  const float* x = a.logits + int64_t{row} * a.v;
  Cut cut = {0, 0, 0};
  // digits of 2 bits, then of 3; one pass more counts what lies above the pivot itself
  for (int shift = 30; shift >= -3; shift -= 3) {
    int32_t count[kCuts] = {};
    double above[kCuts] = {};
    for (int id = static_cast<int>(thread_x()); id < a.v; id += kFilterThreads) {
      const uint32_t o = ordered(x[id]);
      int digit;  // this logit lies above the first `digit` cuts
      if (shift < 0) {
        digit = o > cut.pivot;
      } else {
        const uint32_t high = shift == 30 ? 0 : o >> (shift + 3), base = shift == 30 ? 0 : cut.pivot >> (shift + 3);
        digit = high > base ? kCuts : high == base ? static_cast<int>(o >> shift & 7) : 0;
      }
      double e = 0;
      if constexpr (kMass)
        if (digit > 0) e = static_cast<double>(noise::noise_exp(scaled(x[id], m, t)));
      HB_UNROLL
      for (int d = 0; d < kCuts; ++d)
        if (d < digit) ++count[d], above[d] = above[d] + e;
    }
    sum_cuts<kMass>(count, above, smem);
    if (shift < 0) {
      cut.count = smem.count_sum[0], cut.mass = smem.mass_sum[0];
    } else {
      uint32_t digit = 0;
      while (digit < (shift == 30 ? 3u : 7u) &&
             !(smem.count_sum[digit] < most && (!kMass || smem.mass_sum[digit] < mass)))
        ++digit;
      cut.pivot |= digit << shift;
    }
  }
  return cut;
}

/// The id of the r-th logit, counted from 1, that equals the pivot; the largest number when there are fewer.
HB_DEVICE int32_t nth_equal(const SampleArgs& a, int row, uint32_t pivot, int r, FilterSmem& smem) {
  const float* x = a.logits + int64_t{row} * a.v;
  const int share = (a.v + kFilterThreads - 1) / kFilterThreads * 32;  // neighbouring ids of a warp
  const int first = static_cast<int>(warp()) * share, end = first + share < a.v ? first + share : a.v;
  int count = 0;
  for (int base = first; base < end; base += 32) {
    const int id = base + static_cast<int>(lane());
    count += popcount(ballot(kAllLanes, id < end && ordered(x[id]) == pivot));
  }
  if (lane() == 0) smem.count[warp()][0] = count;
  if (thread_x() == 0) smem.kept = INT32_MAX;
  sync_block();
  int before = 0;
  for (int w = 0; w < static_cast<int>(warp()); ++w) before += smem.count[w][0];
  if (before < r && r <= before + count) {
    for (int base = first, seen = before; seen < r; base += 32) {
      const int id = base + static_cast<int>(lane());
      const bool is = id < end && ordered(x[id]) == pivot;
      const uint32_t found = ballot(kAllLanes, is);
      const int rank = seen + popcount(found & (0xffffffffu >> (31 - lane())));
      if (is && rank == r) smem.kept = id;
      seen += popcount(found);
    }
  }
  sync_block();
  return smem.kept;
}

/// The long way: leaves the pivot in the row's state.
HB_DEVICE void find_pivot(const SampleArgs& a, int row, const SampleSettings& s, float m, double total,
                          FilterSmem& smem) {
  const int most = s.k > 0 ? s.k : INT32_MAX;
  Cut cut = {0, 0, 0};
  int equal = INT32_MAX;  // kept of those equal to the pivot
  if (s.k > 0) {
    cut = s.p < 1 ? find_cut<true>(a, row, m, s.t, most, kInfinity, smem)
                  : find_cut<false>(a, row, m, s.t, most, kInfinity, smem);
    equal = most - cut.count;
  }
  if (s.p < 1) {
    const auto mass_of = [&](uint32_t pivot) {
      return static_cast<double>(noise::noise_exp(scaled(unordered(pivot), m, s.t)));
    };
    if (s.k > 0) total = cut.mass + equal * mass_of(cut.pivot);
    double mass = s.p * total;
    if (!(mass > 0)) mass = 1e-300;  // the best always stays
    cut = find_cut<true>(a, row, m, s.t, most, mass, smem);
    const double each = mass_of(cut.pivot), fit = each > 0 ? (mass - cut.mass) / each : 2e9;
    equal = s.k > 0 ? most - cut.count : INT32_MAX;
    const int whole = fit < 2e9 ? static_cast<int>(fit) : INT32_MAX;
    const int fitting = fit < 2e9 && whole < fit ? whole + 1 : whole;
    equal = fitting < equal ? fitting : equal;
  }
  const int32_t last = nth_equal(a, row, cut.pivot, equal, smem);
  if (thread_x() == 0) a.state[row].pivot = cut.pivot, a.state[row].last = last;
}

HB_KERNEL void HB_BOUNDS(kFilterThreads, 1) sample_filter_kernel(SampleArgs a) {
  const int row = static_cast<int>(block_x());
  if (row >= live_count(a.rows, a.n)) return;
  const SampleSettings s = sample_settings(a, row);
  if (!s.filtered()) return;
  HB_DYN_SMEM(raw);
  FilterSmem& smem = *reinterpret_cast<FilterSmem*>(raw);
  if (warp() == 0) {
    const Largest all =
        largest_of(a.segment_key + int64_t{row} * a.segments, a.segment_bad + int64_t{row} * a.segments, a.segments);
    double total = 0;
    if (s.p < 1 && s.k == 0) total = row_mass(a, row, value_of(all.key), s.t);
    if (lane() == 0) smem.largest = all.key, smem.bad = all.bad, smem.total = total;
  }
  sync_block();
  if (smem.bad) return;
  const float m = value_of(smem.largest);
  const double total = smem.total;
  const int want = s.k > 0 ? s.k : kShortList;
  bool covered = false;
  if (want <= kLongestList) {
    const uint32_t lowest = ordered(-kLargest);
    uint32_t pivot = lowest;
    if (want < a.chunks) {
      pivot = chunk_pivot(a.chunk_max + int64_t{row} * a.chunks, a.chunks, want, smem);
      if (pivot < lowest) pivot = lowest;
    }
    const int listed = list_best(a, row, pivot, smem);
    if (listed > 0) {
      const int n = listed < want ? listed : want;
      if (warp() == 0) {
        const int kept = kept_of_list(s, m, n, total, smem.list);
        if (lane() == 0) smem.kept = kept;
      }
      sync_block();
      const int kept = smem.kept;
      covered = kept < n || s.k > 0 || (pivot == lowest && listed <= want);
      if (covered) {
        uint64_t best = kNoKey;
        for (int i = static_cast<int>(thread_x()); i < kept; i += kFilterThreads) {
          const uint64_t key = ~smem.list[i];
          const int32_t id = number_of(key);
          const float value = add_rn(scaled(value_of(key), m, s.t), gumbel_of_id(s.seed, s.position, id));
          best = max_key(best, key_of(value, id));
        }
        best = block_max_key(best, smem.partial);
        if (thread_x() == 0) a.token[row] = number_of(best), a.state[row].chosen = 1;
      }
    }
  }
  if (!covered) find_pivot(a, row, s, m, total, smem);
}

}  // namespace hb::cuda
