#include <algorithm>

#include "cpu/kernels.h"

namespace hb::cpu {

namespace {

constexpr int kStep = 4;                ///< rows that `attend` takes through registers together
constexpr int64_t kScores = 32 * 4096;  ///< of one call, so that they stay in the second-level cache
constexpr int64_t kGap = 16;            ///< floats between the scores of two rows, so that they do not share cache sets

/// Rows per call at most, with a table of so many pages.
int rows_per_call(int64_t table) {
  const int64_t fit = table > 0 ? kScores / (table * kPageSlots) / kStep * kStep : kStep;
  return static_cast<int>(fit < kStep ? kStep : fit > kAttentionRows ? kAttentionRows : fit);
}

/// Of `pairs` rows that share a key head, `groups` times, those that are one unit of work: as many as a call takes, so
/// that they share the keys in the caches, but not so many that a worker idles.
int64_t rows_per_unit(int64_t pairs, int64_t groups, int64_t table, int workers) {
  const int64_t even = round_up((pairs * groups + 2 * workers - 1) / (2 * workers), kStep);
  const int64_t most = rows_per_call(table);
  return even < kStep ? kStep : even < most ? even : most;
}

/// Scratch of one worker.
struct Layout {
  int64_t scores, out, q, q_pairs, k_tiles, v_tiles, bytes;
  Layout(int64_t d, int64_t table) {
    const int64_t rows = rows_per_call(table);
    scores = 0;
    out = scores + rows * (table * kPageSlots + kGap) * 4;
    q = out + round_up(rows * d * 4, 64);
    q_pairs = q + round_up(rows * d * 4, 64);
    k_tiles = q_pairs + round_up(rows * round_up(d, 2) * 2, 64);
    v_tiles = k_tiles + round_up(table * 8, 64);
    bytes = v_tiles + round_up(table * 8, 64);
  }
};

/// Ancestor bits count from the own range's first slot as given: drops those of `count` slots that clamping cut off.
void shift_down(uint32_t (&words)[4], int64_t count) {
  for (int i = 0; i < 4; ++i) {
    const int64_t low = i + count / 32, bit = count % 32;
    const uint64_t pair = (low < 4 ? words[low] : 0u) | static_cast<uint64_t>(low + 1 < 4 ? words[low + 1] : 0u) << 32;
    words[i] = static_cast<uint32_t>(pair >> bit);
  }
}

/// Copies rows of d numbers each, those of an odd d with a zero behind them.
void copy_pairs(const uint16_t* from, uint16_t* to, int rows, int64_t d) {
  if (d % 2 == 0) {
    std::memcpy(to, from, static_cast<size_t>(rows * d) * 2);
    return;
  }
  for (int r = 0; r < rows; ++r) {
    std::memcpy(to + r * (d + 1), from + r * d, static_cast<size_t>(d) * 2);
    to[r * (d + 1) + d] = 0;
  }
}

}  // namespace

size_t paged_attention_workspace(const PagedAttention& a, int workers) {
  return static_cast<size_t>(workers * Layout(a.q.dims[2], a.page_table.dims[1]).bytes);
}

Status paged_attention_cpu(const OpContext& cx, const PagedAttention& a) {
  const int64_t n = live_rows(a.rows, a.q.dims[0]), h = a.q.dims[1], d = a.q.dims[2], g = a.k_cache.dims[1];
  const int64_t pages = a.k_cache.dims[0], batch = a.page_table.dims[0], table = a.page_table.dims[1];
  const int64_t per_group = h / g, pairs = n * per_group, slots = table * kPageSlots;
  const bool bf16 = a.q.dtype == DType::bf16;
  const Layout layout(d, table);
  const Verbs& isa = verbs(cx);
  auto seq_of = [&](int64_t row) {
    return batch > 0 && pages > 0 ? clamp_index(a.seq.as<const int32_t>()[row], batch) : -1;
  };
  auto clamp_slot = [&](int64_t s) { return s < 0 ? 0 : s > slots ? slots : s; };
  bool clamped = false;
  for (int64_t row = 0; row < n; ++row) {
    const int64_t seq = a.seq.as<const int32_t>()[row], seen = a.visible.as<const int32_t>()[row];
    clamped = clamped || seq < 0 || seq >= batch || seen < 0 || seen > slots;
  }
  if (clamped) *cx.flags |= kFlagIndexClamped;

  // A unit is a key/value head and a block of (row, query head) pairs that share it; blocks are as equal as can be,
  // since one pair alone takes nearly as long as four. No row's bits depend on how they are cut.
  const int64_t most = rows_per_unit(pairs, g, table, cx.parallel->workers());
  const int64_t blocks = (pairs + most - 1) / most;
  parallel_for(cx, g * blocks, [&](int64_t unit, int worker) {
    char* mine = static_cast<char*>(cx.scratch) + worker * layout.bytes;
    float* const q = reinterpret_cast<float*>(mine + layout.q);
    uint16_t* const q_pairs = reinterpret_cast<uint16_t*>(mine + layout.q_pairs);
    const int64_t group = unit / blocks, block = unit % blocks, end = (block + 1) * pairs / blocks;
    for (int64_t first = block * pairs / blocks; first < end;) {
      const int64_t seq = seq_of(first / per_group);
      AttentionRows rows{};
      int64_t visible[kAttentionRows], own[2 * kAttentionRows], longest = 0;
      uint32_t ancestors[4 * kAttentionRows] = {};
      while (first + rows.rows < end) {  // the pairs of one row: its heads lie one behind the other
        const int64_t pair = first + rows.rows, row = pair / per_group, head = pair % per_group;
        const int i = rows.rows, heads = static_cast<int>(std::min(per_group - head, end - pair));
        if (seq_of(row) != seq) break;
        const int64_t seen = seq < 0 ? 0 : clamp_slot(a.visible.as<const int32_t>()[row]);
        int64_t lo = seen, hi = seen;
        uint32_t words[4] = {};
        if (a.own && seq >= 0) {
          const int32_t* range = a.own.as<const int32_t>() + 2 * row;
          lo = std::max(clamp_slot(range[0]), seen), hi = std::max(clamp_slot(range[1]), lo);
          if (a.ancestors) {
            std::memcpy(words, a.ancestors.as<const int32_t>() + 4 * row, 16);
            if (const int64_t cut = lo - range[0]; cut > 0) shift_down(words, cut);
          }
        }
        longest = std::max(longest, hi);
        for (int p = i; p < i + heads; ++p) {
          visible[p] = seen, own[2 * p] = lo, own[2 * p + 1] = hi;
          std::memcpy(ancestors + 4 * p, words, 16);
        }
        const void* from = at(a.q, (row * h + group * per_group + head) * d);
        if (bf16) {
          isa.widen_row(from, q + i * d, heads * d);
          copy_pairs(static_cast<const uint16_t*>(from), q_pairs + i * round_up(d, 2), heads, d);
        } else {
          std::memcpy(q + i * d, from, static_cast<size_t>(heads * d) * 4);
        }
        rows.rows += heads;
      }
      const void** k = reinterpret_cast<const void**>(mine + layout.k_tiles);
      const void** v = reinterpret_cast<const void**>(mine + layout.v_tiles);
      const int64_t tiles = (longest + kPageSlots - 1) / kPageSlots;
      for (int64_t t = 0; t < tiles; ++t) {
        const int64_t page = clamp_index(a.page_table.as<const int32_t>()[seq * table + t], pages);
        k[t] = at(a.k_cache, (page * g + group) * d * kPageSlots);
        v[t] = at(a.v_cache, (page * g + group) * kPageSlots * d);
      }
      rows.q = q;
      rows.q_pairs = bf16 ? q_pairs : nullptr;
      rows.d = d;
      rows.scale = static_cast<float>(a.scale);
      rows.bf16 = bf16;
      rows.k = k, rows.v = v;
      rows.v_stride = d;
      rows.visible = visible;
      rows.own = own;
      rows.ancestors = a.ancestors ? ancestors : nullptr;
      rows.scores = reinterpret_cast<float*>(mine + layout.scores);
      rows.score_stride = tiles * kPageSlots + kGap;
      rows.out = reinterpret_cast<float*>(mine + layout.out);
      isa.attend(rows);
      for (int i = 0; i < rows.rows;) {
        const int64_t pair = first + i, row = pair / per_group, head = pair % per_group;
        const int heads = static_cast<int>(std::min<int64_t>(per_group - head, rows.rows - i));
        void* to = at(a.out, (row * h + group * per_group + head) * d);
        if (bf16)
          isa.narrow_row(rows.out + i * d, to, heads * d);
        else
          std::memcpy(to, rows.out + i * d, static_cast<size_t>(heads * d) * 4);
        i += heads;
      }
      first += rows.rows;
    }
  });
  return Status::success();
}

}  // namespace hb::cpu
