// The tensor core kernel of paged attention: bf16, heads of up to 128 columns.
//
// A block takes rows of one sequence, all query heads of one key/value head each, so that a page is read once for them:
// warp w has rows_per_warp rows in its 16-row tile. Tiles in which every row sees slots in place are read page by page
// by the whole block, two of them under way. Tiles of rows that see scattered slots, nodes of a tree, are gathered by
// each warp for one row at a time, in rank order, so that each weight meets its value in the same place of the same
// instruction as in plain decoding.
//
// Cost on an H100 with 28/4 heads of 128: a block reads 32 KB per tile and multiplies 16 MFLOP, 56 of 64 rows used;
// 84 KB of shared memory, two blocks per multiprocessor.
#include "cuda/attention_tile.h"
#include "cuda/flags.h"
#include "cuda/paged_attention.h"

namespace hb::cuda {
namespace {

constexpr int kThreads = kMmaThreads, kWarps = kThreads / static_cast<int>(kWarpLanes), kMostRows = 64;
using Args = PagedArgs<uint16_t>;

/// What the rows of a block have in common.
struct Run {
  int seq, rows, most, least;
  int in_place;  ///< tiles from the first on of which all rows see slots in place
};

template <int kColumns>
struct alignas(16) Smem {
  uint16_t tile[kWarps][kColumns * kTileRanks];  ///< keys and values of two tiles, or one gathered tile per warp
  uint16_t q[kMostRows * kColumns];
  PagedRow rows[kMostRows];
  Run run;
  int32_t own[kWarps][kOwnBits];
  uint32_t odd[2];  ///< number of the last tile with values that are not finite, by parity
};

HB_DEVICE int spans_of(int ranks) {
  const int tiles = ceil_div(ranks, kTileRanks);
  return ceil_div(tiles, span_tiles(tiles));
}

/// May two rows share tiles? Then they have the same sequence and spans of the same length.
HB_DEVICE bool alike(const PagedRow& a, const PagedRow& b) {
  return a.seq == b.seq && span_tiles(ceil_div(a.ranks, kTileRanks)) == span_tiles(ceil_div(b.ranks, kTileRanks));
}

HB_DEVICE Run run_of(const PagedRow* rows, int count) {
  Run run{rows[0].seq, 1, rows[0].ranks, rows[0].ranks, 1 << 30};
  for (int i = 0; i < count && alike(rows[0], rows[i]); ++i) {
    const PagedRow& r = rows[i];
    run.rows = i + 1;
    run.most = r.ranks > run.most ? r.ranks : run.most;
    run.least = r.ranks < run.least ? r.ranks : run.least;
    if (r.same < r.ranks && r.same / kTileRanks < run.in_place) run.in_place = r.same / kTileRanks;
  }
  return run;
}

/// How the threads of a block share out a tile of values: which row each begins with, and how many rows on it goes. A
/// multiple of 8, so that a thread's place within its rows stays the same.
template <int kColumns>
struct Shares {
  static constexpr int kParts = kColumns / 8, kRows = kThreads / kParts, kTimes = kTileRanks / kRows;
  static_assert(kRows % 8 == 0 && kTimes * kRows == kTileRanks);
};

/// Queues the copy of one page: keys [kColumns, 64] and values [64, kColumns], zeros beyond d columns and `seen`
/// values.
template <int kColumns>
HB_DEVICE void load_page(const Args& a, uint16_t* k, uint16_t* v, int64_t page, int seen, int thread) {
  using S = Shares<kColumns>;
  {
    constexpr int kRows = kThreads / 8;
    const int column = thread / 8, part = thread % 8;
    const uint16_t* from = a.k + page * a.d * kTileRanks + column * kTileRanks + 8 * part;
    uint16_t* to = k + part_at<kTileRanks>(column, part);
    HB_UNROLL
    for (int i = 0; i < kColumns / kRows; ++i) {
      const bool there = column + kRows * i < a.d;
      cp_async16(to + kRows * kTileRanks * i, there ? from + kRows * kTileRanks * i : a.k, there ? 16 : 0);
    }
  }
  const int slot = thread / S::kParts, part = thread % S::kParts, live = 8 * part < a.d ? seen : 0;
  const uint16_t* from = a.v + (page * kTileRanks + slot) * a.d + 8 * part;
  uint16_t* to = v + part_at<kColumns>(slot, part);
  HB_UNROLL
  for (int i = 0; i < S::kTimes; ++i, from += S::kRows * a.d) {
    const bool there = slot + S::kRows * i < live;
    cp_async16(to + S::kRows * kColumns * i, there ? from : a.v, there ? 16 : 0);
  }
  cp_async_commit();
}

/// Has this thread copied values that are not finite?
template <int kColumns>
HB_DEVICE bool odd_values(const uint16_t* v, int thread) {
  using S = Shares<kColumns>;
  const uint16_t* from = v + part_at<kColumns>(thread / S::kParts, thread % S::kParts);
  bool odd = false;
  HB_ROLLED
  for (int i = 0; i < S::kTimes; ++i) odd = odd || not_finite(load16(from + S::kRows * kColumns * i));
  return odd;
}

/// Keys of ranks `base` .. base + seen - 1 of a row, by one warp, transposed as in a page.
template <int kColumns>
HB_DEVICE void gather_keys(const Args& a, const PagedRow& r, const int32_t (&own)[kOwnBits], int group, int base,
                           int seen, int lane, uint16_t* to) {
  const int64_t size = int64_t{a.d} * kTileRanks;  // elements of one head of one page
  HB_ROLLED
  for (int i = lane; i < kColumns * 8; i += static_cast<int>(kWarpLanes)) {
    const int column = i / 8, part = i % 8, rank = base + 8 * part;
    uint16_t* const at = to + part_at<kTileRanks>(column, part);
    if (column >= a.d) {
      cp_async16(at, a.k, 0);  // the queries' zeros must not meet anything else
    } else if (8 * part >= seen) {
      continue;
    } else if (rank + 8 <= r.same) {
      const int64_t page = int64_t{page_of(a, r.seq, rank)} * a.groups + group;
      cp_async16(at, a.k + page * size + column * kTileRanks + rank % kTileRanks);
    } else {
      Vec16 part_of{};
      HB_UNROLL
      for (int j = 0; j < 8; ++j) {
        uint32_t key = 0;
        if (8 * part + j < seen) {
          const int slot = slot_of(r, own, rank + j);
          const int64_t page = int64_t{page_of(a, r.seq, slot)} * a.groups + group;
          key = a.k[page * size + column * kTileRanks + slot % kTileRanks];
        }
        part_of.word[j / 2] |= key << 16 * (j % 2);
      }
      store16(at, part_of);
    }
  }
}

/// The same ranks' values, [64, kColumns], zeros beyond them.
template <int kColumns>
HB_DEVICE void gather_values(const Args& a, const PagedRow& r, const int32_t (&own)[kOwnBits], int group, int base,
                             int seen, int lane, uint16_t* to) {
  HB_ROLLED
  for (int i = lane; i < kColumns * 8; i += static_cast<int>(kWarpLanes)) {
    const int rank = i / (kColumns / 8), part = i % (kColumns / 8);
    const bool there = rank < seen && 8 * part < a.d;
    int64_t from = 0;
    if (there) {
      const int slot = slot_of(r, own, base + rank);
      const int64_t page = int64_t{page_of(a, r.seq, slot)} * a.groups + group;
      from = (page * kTileRanks + slot % kTileRanks) * a.d + 8 * part;
    }
    cp_async16(to + part_at<kColumns>(rank, part), a.v + from, there ? 16 : 0);
  }
}

/// A lane's two rows: which of the run each is, -1 for none, and what it sees.
struct Mine {
  int row[2], ranks[2];
};
HB_DEVICE int place_of(int r) { return static_cast<int>(lane()) / 4 + 8 * r; }

/// What the warps of a block are at.
struct Place {
  int first, first_head, heads, group, per_warp;
};

template <int kColumns>
HB_DEVICE void write_out(const Args& a, const Place& at, const Mine& mine, const TileSums<kColumns>& sums, bool all) {
  const int column = 2 * (static_cast<int>(lane()) % 4);
  HB_UNROLL
  for (int r = 0; r < 2; ++r) {
    if (mine.row[r] < 0 || (!all && spans_of(mine.ranks[r]) > 1)) continue;
    const float inverse = inverse_of(sums.sum[r]);
    uint16_t* out =
        a.out + (int64_t{at.first + mine.row[r]} * a.h + at.first_head + place_of(r) % a.unit_heads) * a.d + column;
    HB_UNROLL
    for (int i = 0; i < kColumns / 8; ++i)
      if (8 * i < a.d)
        *reinterpret_cast<uint32_t*>(out + 8 * i) =
            pack_bf16(mul_rn(sums.out[i][2 * r], inverse), mul_rn(sums.out[i][2 * r + 1], inverse));
  }
}

/// Rows of several spans leave this one for the fold.
template <int kColumns>
HB_DEVICE void write_span(const Args& a, const Place& at, const Mine& mine, const TileSums<kColumns>& sums, int span) {
  const int column = 2 * (static_cast<int>(lane()) % 4);
  HB_UNROLL
  for (int r = 0; r < 2; ++r) {
    if (mine.row[r] < 0) continue;
    const int spans = spans_of(mine.ranks[r]);
    if (spans < 2 || span >= spans) continue;
    const int64_t place =
        (int64_t{at.first + mine.row[r]} * a.h + at.first_head + place_of(r) % a.unit_heads) * a.spans + span;
    if (column == 0) a.moments[2 * place] = sums.largest[r], a.moments[2 * place + 1] = sums.sum[r];
    float* out = a.partial + place * a.d + column;
    HB_UNROLL
    for (int i = 0; i < kColumns / 8; ++i)
      if (8 * i < a.d) out[8 * i] = sums.out[i][2 * r], out[8 * i + 1] = sums.out[i][2 * r + 1];
  }
}

/// Queries of a run, [64, kColumns]; zeros where a warp's tile has no row.
template <int kColumns>
HB_DEVICE void load_queries(const Args& a, const Place& at, const Run& run, uint16_t* q) {
  HB_ROLLED
  for (int i = static_cast<int>(thread_x()); i < kMostRows * kColumns / 8; i += kThreads) {
    const int to = i / (kColumns / 8), part = i % (kColumns / 8), place = to % 16;
    const int row = to / 16 * at.per_warp + place / a.unit_heads, head = place % a.unit_heads;
    const bool there = place < at.per_warp * a.unit_heads && head < at.heads && row < run.rows && 8 * part < a.d;
    const int64_t from = there ? (int64_t{at.first + row} * a.h + at.first_head + head) * a.d + 8 * part : 0;
    cp_async16(q + part_at<kColumns>(to, part), a.q + from, there ? 16 : 0);
  }
  cp_async_commit();
}

/// Tiles `tile` .. `last` - 1 of the rows of one warp, each gathered for one row at a time.
template <int kColumns>
HB_DEVICE void attend_gathered(const Args& a, const Place& at, const Run& run, const Mine& mine, Smem<kColumns>& smem,
                               int tile, int last, TileSums<kColumns>& sums) {
  // Addresses are made here and not before the tiles in place, whose registers they would take.
  const int own_warp = opaque(static_cast<int>(warp())), own_lane = opaque(static_cast<int>(lane()));
  const uint16_t* const q = smem.q + own_warp * 16 * kColumns;
  uint16_t* const gathered = smem.tile[own_warp];
  int32_t (&own)[kOwnBits] = smem.own[own_warp];
  const int begin = own_warp * at.per_warp, end = begin + at.per_warp < run.rows ? begin + at.per_warp : run.rows;
  HB_ROLLED
  for (; tile < last; ++tile) {
    HB_ROLLED
    for (int row = begin; row < end; ++row) {
      const PagedRow& r = smem.rows[row];
      const int base = tile * kTileRanks, seen = r.ranks - base < kTileRanks ? r.ranks - base : kTileRanks;
      if (seen <= 0) continue;
      if (r.masked) list_own(r, own, own_lane, static_cast<int>(kWarpLanes));
      sync_warp(kAllLanes);
      gather_keys<kColumns>(a, r, own, at.group, base, seen, own_lane, gathered);
      cp_async_wait_all();
      sync_warp(kAllLanes);
      const int limits[2] = {mine.row[0] == row ? seen : 0, mine.row[1] == row ? seen : 0};
      float scores[8][4];
      tile_scores<kColumns, true>(scores, q, gathered, seen, own_lane);
      sync_warp(kAllLanes);
      gather_values<kColumns>(a, r, own, at.group, base, seen, own_lane, gathered);
      tile_weights(scores, sums, limits, a.scale_log2);
      cp_async_wait_all();
      sync_warp(kAllLanes);
      tile_values<kColumns, true>(scores, sums, gathered, seen, limits, own_lane);
      sync_warp(kAllLanes);
    }
  }
}

/// Tiles `tile` .. `last` - 1 of the rows of all warps. `visit` counts tiles of the block. Begins and ends with a
/// barrier.
template <int kColumns>
HB_DEVICE void attend_tiles(const Args& a, const Place& at, const Run& run, const Mine& mine, Smem<kColumns>& smem,
                            int tile, int last, uint32_t& visit, TileSums<kColumns>& sums) {
  const int own_warp = static_cast<int>(warp()), in_place = run.in_place < last ? run.in_place : last;
  const uint16_t* const q = smem.q + own_warp * 16 * kColumns;
  const int own_lane = opaque(static_cast<int>(lane())), thread = opaque(static_cast<int>(thread_x()));
  int stage = 0;
  auto load = [&](int which, int t) {
    const int64_t page = int64_t{page_of(a, run.seq, t * kTileRanks)} * a.groups + at.group;
    load_page<kColumns>(a, smem.tile[2 * which], smem.tile[2 * which + 1], page, run.most - t * kTileRanks, thread);
  };
  sync_block();
  if (tile < in_place) load(0, tile);
  HB_ROLLED
  for (; tile < in_place; ++tile) {
    const int base = tile * kTileRanks, seen = run.most - base < kTileRanks ? run.most - base : kTileRanks;
    const uint16_t *k = smem.tile[2 * stage], *v = smem.tile[2 * stage + 1];
    cp_async_wait_all();
    // Rows that see different keys meet here: 0 times a value that is not finite would reach a row that does not see
    // it.
    const bool mixed = run.least < base + seen;
    ++visit;
    if (mixed && odd_values<kColumns>(v, thread)) atomic_exchange(&smem.odd[visit % 2], visit);
    sync_block();
    if (mixed && smem.odd[visit % 2] == visit) break;
    if (tile + 1 < in_place) load(stage ^ 1, tile + 1);
    if (own_warp * at.per_warp < run.rows) {
      const int limits[2] = {mine.ranks[0] - base, mine.ranks[1] - base};
      float scores[8][4];
      tile_scores<kColumns, true>(scores, q, k, seen, own_lane);
      tile_weights(scores, sums, limits, a.scale_log2);
      tile_values<kColumns, false>(scores, sums, v, seen, limits, own_lane);
    }
    stage ^= 1;
  }
  if (tile < last) {
    cp_async_wait_all();
    sync_block();
    attend_gathered(a, at, run, mine, smem, tile, last, sums);
  }
  finish_sums(sums);
}

/// Block x takes the runs that begin among rows step * x .. step * x + step - 1; runs end at multiples of
/// rows_per_block. Blocks y: units of heads. kApart: `step` is 1 and block z takes one span, else a block takes all.
template <int kColumns, bool kApart>
HB_KERNEL void HB_BOUNDS(kThreads, 2) paged_mma_kernel(Args a, int step) {
  HB_DYN_SMEM(raw);
  Smem<kColumns>& smem = *reinterpret_cast<Smem<kColumns>*>(raw);
  const int live = live_count(a.rows, a.n), from = static_cast<int>(block_x()) * step;
  if (from >= live) return;
  Place at;
  at.per_warp = rows_per_warp(a.unit_heads);
  const int per_block = kWarps * at.per_warp;
  if (from % per_block != 0 && alike(paged_row(a, from - 1), paged_row(a, from))) return;

  const int thread = static_cast<int>(thread_x());
  const int unit = static_cast<int>(block_y()) % a.units, per_group = a.h / a.groups;
  const int left = per_group - unit * a.unit_heads;
  at.group = static_cast<int>(block_y()) / a.units;
  at.first_head = at.group * per_group + unit * a.unit_heads;
  at.heads = left < a.unit_heads ? left : a.unit_heads;
  const int limit = (from / per_block + 1) * per_block < live ? (from / per_block + 1) * per_block : live;
  const int to = from + step < limit ? from + step : limit;
  uint32_t visit = 0;
  if (thread < 2) smem.odd[thread] = 0;

  HB_ROLLED
  for (at.first = from; at.first < to;) {
    sync_block();
    if (thread < limit - at.first) {
      smem.rows[thread] = paged_row(a, at.first + thread);
      if (block_y() == 0 && block_z() == 0 && clamped_row(a, at.first + thread)) raise<kFlagIndexClamped>(a.flags);
    }
    sync_block();
    // In shared memory, for registers are dear: nothing that the whole block has in common stays in them.
    if (thread == 0) smem.run = run_of(smem.rows, limit - at.first);
    sync_block();
    const Run& run = smem.run;
    const int tiles = ceil_div(run.most, kTileRanks), per_span = span_tiles(tiles), spans = ceil_div(tiles, per_span);
    const int only = static_cast<int>(block_z());
    if (kApart && only > 0 && only >= spans) return;

    Mine mine;
    HB_UNROLL
    for (int r = 0; r < 2; ++r) {
      const int place = place_of(r), row = static_cast<int>(warp()) * at.per_warp + place / a.unit_heads;
      const bool there = place < at.per_warp * a.unit_heads && place % a.unit_heads < at.heads && row < run.rows;
      mine.row[r] = there ? row : -1;
      mine.ranks[r] = there ? smem.rows[row].ranks : 0;
    }
    load_queries<kColumns>(a, at, run, smem.q);

    TileSums<kColumns> sums;
    const int64_t block = int64_t{block_x()} * blocks_y() + block_y();
    FoldedSums<kColumns, kThreads> folded{kApart ? nullptr : a.folded + block * folded_floats(kColumns) + thread};
    if constexpr (kApart) {
      sums.clear();
      const int last = (only + 1) * per_span < tiles ? (only + 1) * per_span : tiles;
      attend_tiles(a, at, run, mine, smem, only * per_span, last, visit, sums);
      write_span(a, at, mine, sums, only);
      folded.add(sums, 0, 1, a.scale_log2);
      if (only == 0) write_out(a, at, mine, sums, false);
    } else {
      HB_ROLLED
      for (int span = 0; span == 0 || span < spans; ++span) {
        sums.clear();
        const int last = (span + 1) * per_span < tiles ? (span + 1) * per_span : tiles;
        attend_tiles(a, at, run, mine, smem, span * per_span, last, visit, sums);
        folded.add(sums, span, spans > 0 ? spans : 1, a.scale_log2);
      }
      write_out(a, at, mine, sums, true);
    }
    cp_async_wait_all();
    at.first += run.rows;
  }
}

template <int kColumns>
Status launch_columns(Stream stream, const Args& a) {
  const bool apart = a.partial != nullptr;
  const int step = apart ? 1 : rows_per_block(a.unit_heads);
  const Extent grid = {static_cast<unsigned>(ceil_div(a.n, step)), static_cast<unsigned>(a.groups * a.units),
                       apart ? static_cast<unsigned>(a.spans) : 1};
  return launch(stream, apart ? paged_mma_kernel<kColumns, true> : paged_mma_kernel<kColumns, false>, grid, {kThreads},
                sizeof(Smem<kColumns>), a, step);
}

}  // namespace

Status launch_paged_mma(Stream stream, const Args& a) {
  const int columns = mma_columns(a.d);
  return columns == 32   ? launch_columns<32>(stream, a)
         : columns == 64 ? launch_columns<64>(stream, a)
                         : launch_columns<kMostMmaColumns>(stream, a);
}

}  // namespace hb::cuda
