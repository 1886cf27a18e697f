#pragma once
// What paged attention knows of a row, and the arithmetic that its kernels share. Included by device code.
//
// A row sees slots; their numbers in slot order are its ranks. Keys are taken in tiles of 64 ranks, tiles in spans of
// so many as the row's own count of ranks asks for, and spans are folded in order. So a row's bits depend on the keys
// and values that it sees and on nothing else: a node of a tree gets those of plain decoding, wherever its ancestors
// lie.
#include <limits>

#include "cuda/prim/prim.h"

namespace hb::cuda {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int kTileRanks = 64;
constexpr int kMostSpans = 32;  ///< spans of a row at most
constexpr int kOwnBits = 128;   ///< ancestor bits of a row

/// Tiles of a span for a row of `tiles` tiles: 2 up to 4096 ranks, then as many as kMostSpans spans need.
HB_HD constexpr int span_tiles(int tiles) {
  int n = 2;
  while (n * kMostSpans < tiles) n *= 2;
  return n;
}
HB_HD constexpr int ceil_div(int a, int b) { return (a + b - 1) / b; }

/// Operands of paged_attention.
template <class T>
struct PagedArgs {
  const T *q, *k, *v;
  const int32_t *page_table, *seq, *visible, *own, *ancestors, *rows;
  T* out;
  float* partial;  ///< [n, h, spans, d], null when every block takes all spans of its rows
  float* moments;  ///< [n, h, spans, 2]: largest raw score and sum of weights of a span
  float* folded;   ///< of each block that takes all of several spans: the sums so far
  uint32_t* flags;
  int n, h, d, groups, pages, batch, table;
  int spans;         ///< that a row has at most
  int unit_heads;    ///< query heads that a block takes together
  int units;         ///< such units per key/value head
  float scale_log2;  ///< scale * log2(e): weights are powers of 2
};

/// One row, clamped as the contract says.
struct PagedRow {
  int seq;           ///< -1: there are no pages
  int visible;       ///< ranks below are slots
  int own;           ///< slot of the own range's first bit
  int ranks;         ///< that the row sees
  int same;          ///< ranks below this one are slots
  uint32_t bits[4];  ///< of the own range, those that it sees
  bool masked;       ///< false: the own range is seen whole, and `bits` say nothing
};

HB_DEVICE int clamp_to(int v, int most) { return v < 0 ? 0 : v > most ? most : v; }

template <class T>
HB_DEVICE PagedRow paged_row(const PagedArgs<T>& a, int row) {
  PagedRow r{};
  const int slots = a.table * kTileRanks;
  r.seq = a.batch > 0 && a.pages > 0 ? clamp_to(a.seq[row], a.batch - 1) : -1;
  if (r.seq < 0) return r;
  r.visible = clamp_to(a.visible[row], slots);
  r.own = r.ranks = r.same = r.visible;
  if (!a.own) return r;
  const int low = a.own[2 * row], high = clamp_to(a.own[2 * row + 1], slots), begin = clamp_to(low, slots);
  r.own = begin < r.visible ? r.visible : begin;
  const int length = high > r.own ? high - r.own : 0;
  r.masked = a.ancestors != nullptr;
  int leading = length;
  if (r.masked) {
    // Bits count from the range's first slot as given: those of slots that clamping cut off go.
    const int64_t cut = r.own > low ? int64_t{r.own} - low : 0;
    HB_UNROLL
    for (int i = 0; i < 4; ++i) {
      uint32_t word = 0;
      HB_UNROLL
      for (int j = 0; j < 4; ++j) {  // bits of word j move down by `cut`
        const int64_t up = 32 * int64_t{j - i} - cut;
        const auto from = static_cast<uint32_t>(a.ancestors[4 * row + j]);
        if (up >= 0 && up < 32) word |= from << up;
        if (up < 0 && up > -32) word |= from >> -up;
      }
      const int left = length - 32 * i;
      r.bits[i] = left <= 0 ? 0u : left >= 32 ? word : word & ((1u << left) - 1);
    }
    leading = 0;
    HB_UNROLL
    for (int i = 0; i < 4; ++i) {
      if (leading == 32 * i) leading += first_set(~r.bits[i]) ? first_set(~r.bits[i]) - 1 : 32;
      r.ranks += popcount(r.bits[i]);
    }
  } else {
    r.ranks += length;
  }
  if (r.own == r.visible) r.same += leading;
  if (r.ranks == r.visible) r.same = r.ranks;
  return r;
}

/// Is anything of the row out of range, so that a flag is raised?
template <class T>
HB_DEVICE bool clamped_row(const PagedArgs<T>& a, int row) {
  const int seq = a.seq[row], seen = a.visible[row];
  return seq < 0 || seq >= a.batch || seen < 0 || seen > a.table * kTileRanks;
}

/// Lists the own slots that a masked row sees, in order; `at` of `count` threads. Needs a barrier before it is read.
HB_DEVICE void list_own(const PagedRow& r, int32_t (&list)[kOwnBits], int at, int count) {
  for (int bit = at; bit < kOwnBits; bit += count) {
    int before = 0;
    bool set = false;
    HB_UNROLL
    for (int i = 0; i < 4; ++i) {
      if (32 * (i + 1) <= bit) before += popcount(r.bits[i]);
      if (bit / 32 == i) {
        before += popcount(r.bits[i] & ((1u << bit % 32) - 1));
        set = (r.bits[i] >> bit % 32 & 1u) != 0;
      }
    }
    if (set) list[before] = r.own + bit;
  }
}

/// Slot of a rank below r.ranks.
HB_DEVICE int slot_of(const PagedRow& r, const int32_t (&list)[kOwnBits], int rank) {
  if (rank < r.same || rank < r.visible) return rank;
  return r.masked ? list[rank - r.visible] : r.own + (rank - r.visible);
}

/// Page of a slot of a sequence.
template <class T>
HB_DEVICE int page_of(const PagedArgs<T>& a, int seq, int slot) {
  return clamp_to(a.page_table[int64_t{seq} * a.table + slot / kTileRanks], a.pages - 1);
}

/// What sums that were made relative to raw score `from` are multiplied by to be relative to `to` >= from.
HB_DEVICE float rescale(float from, float to, float scale_log2) {
  if (from == to) return 1.0f;
  return from == -kInfinity ? 0.0f : fast_exp2(mul_rn(sub_rn(from, to), scale_log2));
}

/// How sums of the spans before and of the next span become sums of both.
struct Fold {
  float largest, old, next;
};
HB_DEVICE Fold fold_spans(float before, float next, float scale_log2) {
  const float largest = next > before ? next : before;
  return {largest, rescale(before, largest, scale_log2), rescale(next, largest, scale_log2)};
}

/// Weight of a raw score beside the largest one.
HB_DEVICE float weight_of(float score, float largest, float scale_log2) {
  return fast_exp2(mul_rn(sub_rn(score, largest == -kInfinity ? 0.0f : largest), scale_log2));
}

/// One over the sum of weights; 0 for a row that sees nothing.
HB_DEVICE float inverse_of(float sum) { return sum == 0.0f ? 0.0f : div_rn(1.0f, sum); }

}  // namespace hb::cuda
