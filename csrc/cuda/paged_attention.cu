// Attention over the paged cache. Here: the host's side, the f32 kernel (and bf16 where rows are not made of 16-byte
// parts), and the fold of spans. paged_attention_mma.cu: bf16 on tensor cores.
//
// Cost on an H100 for one layer of the 7B model: 2048 bytes of cache per slot, 2 * 14336 flops per row and slot; one
// row at 8192 slots reads 16.8 MB, 5 us. A row's spans, 32 at most, are blocks of their own as long as rows are few.
#include "cuda/paged_attention.h"

#include <cmath>

#include "cuda/flags.h"
#include "cuda/kernels.h"
#include "cuda/launch.h"
#include "cuda/prim/prim.h"

namespace hb::cuda {
namespace {

constexpr int kHeads = 16;  ///< query heads of a unit at most: those of a tensor core tile
constexpr int kThreads = 128, kWarps = kThreads / static_cast<int>(kWarpLanes);
constexpr int kMostColumns = 256;

template <int kColumns>
struct Smem {
  float q[kHeads * kColumns];
  float p[kTileRanks * kHeads];  ///< raw scores, then weights: [rank][head]
  int64_t slot[kTileRanks];      ///< page * 64 + slot in the page
  float largest[kHeads], sum[kHeads], factor[kHeads];
  float fold_largest[kHeads], fold_sum[kHeads], fold_old[kHeads], fold_new[kHeads];
  int32_t own[kOwnBits];
};

/// One block: one row, a unit of heads of one key/value head, and one span, or all spans of it. Keys and values come
/// straight from global memory: a thread is a key while scores are made, a column while values are summed, so that
/// loads are coalesced and a value is read once. Every sum is one chain of FMAs in rank order.
template <class T, int kColumns>
HB_KERNEL void HB_BOUNDS(kThreads, 3) paged_fma_kernel(PagedArgs<T> a) {
  constexpr int kPasses = kColumns / kThreads;
  HB_DYN_SMEM(raw);
  Smem<kColumns>& smem = *reinterpret_cast<Smem<kColumns>*>(raw);
  const int row = static_cast<int>(block_x());
  if (row >= live_count(a.rows, a.n)) return;
  const int thread = static_cast<int>(thread_x());
  const int group = static_cast<int>(block_y()) / a.units, unit = static_cast<int>(block_y()) % a.units;
  const int per_group = a.h / a.groups;
  const int first_head = group * per_group + unit * a.unit_heads;
  const int left = per_group - unit * a.unit_heads, heads = left < a.unit_heads ? left : a.unit_heads;
  if (block_y() == 0 && block_z() == 0 && thread == 0 && clamped_row(a, row)) raise<kFlagIndexClamped>(a.flags);

  const PagedRow r = paged_row(a, row);
  const int tiles = ceil_div(r.ranks, kTileRanks), per_span = span_tiles(tiles), spans = ceil_div(tiles, per_span);
  int first_span = 0, last_span = spans;
  if (a.partial) {
    first_span = static_cast<int>(block_z());
    if (first_span > 0 && first_span >= spans) return;
    last_span = first_span < spans ? first_span + 1 : spans;
  }
  list_own(r, smem.own, thread, kThreads);
  const T* q = a.q + (int64_t{row} * a.h + first_head) * a.d;
  for (int i = thread; i < heads * a.d; i += kThreads) smem.q[i / a.d * kColumns + i % a.d] = widen(q[i]);
  if (thread < kHeads) smem.fold_largest[thread] = -kInfinity, smem.fold_sum[thread] = 0.0f;
  sync_block();

  // Values: thread `column` of each slice of threads takes heads slice, slice + slices, ...
  const int width = a.d <= 32 ? 32 : a.d <= 64 ? 64 : kThreads, slices = kThreads / width;
  const int column = thread % width, slice = thread / width;
  float fold[kPasses][kHeads] = {}, acc[kPasses][kHeads];
  for (int span = first_span; span < last_span; ++span) {
    if (thread < kHeads) smem.largest[thread] = -kInfinity, smem.sum[thread] = 0.0f;
    HB_UNROLL
    for (int pass = 0; pass < kPasses; ++pass) {
      HB_UNROLL
      for (int i = 0; i < kHeads; ++i) acc[pass][i] = 0.0f;
    }
    const int last_tile = (span + 1) * per_span < tiles ? (span + 1) * per_span : tiles;
    for (int tile = span * per_span; tile < last_tile; ++tile) {
      const int count = r.ranks - tile * kTileRanks < kTileRanks ? r.ranks - tile * kTileRanks : kTileRanks;
      const int rank = thread % kTileRanks, half = thread / kTileRanks;
      if (rank < count) {
        const int slot = slot_of(r, smem.own, tile * kTileRanks + rank);
        const int64_t page = int64_t{page_of(a, r.seq, slot)} * a.groups + group;
        if (half == 0) smem.slot[rank] = page * kTileRanks + slot % kTileRanks;
        const T* k = a.k + page * a.d * kTileRanks + slot % kTileRanks;
        float dot[kHeads / 2] = {};
        for (int c = 0; c < a.d; ++c) {
          const float key = widen(k[c * kTileRanks]);
          HB_UNROLL
          for (int i = 0; i < kHeads / 2; ++i)
            if (half + 2 * i < heads) dot[i] = fma_rn(smem.q[(half + 2 * i) * kColumns + c], key, dot[i]);
        }
        HB_UNROLL
        for (int i = 0; i < kHeads / 2; ++i)
          if (half + 2 * i < heads) smem.p[rank * kHeads + half + 2 * i] = dot[i];
      }
      sync_block();
      for (int head = static_cast<int>(warp()); head < heads; head += kWarps) {
        const int near = static_cast<int>(lane()), far = near + static_cast<int>(kWarpLanes);
        const float x = near < count ? smem.p[near * kHeads + head] : -kInfinity;
        const float y = far < count ? smem.p[far * kHeads + head] : -kInfinity;
        const float before = smem.largest[head];
        float largest = x > before ? x : before;
        largest = warp_max(y > largest ? y : largest);
        const float u = near < count ? weight_of(x, largest, a.scale_log2) : 0.0f;
        const float w = far < count ? weight_of(y, largest, a.scale_log2) : 0.0f;
        if (near < count) smem.p[near * kHeads + head] = u;
        if (far < count) smem.p[far * kHeads + head] = w;
        const float factor = rescale(before, largest, a.scale_log2), sum = warp_sum(add_rn(u, w));
        sync_warp(kAllLanes);
        if (lane() == 0) {
          smem.largest[head] = largest;
          smem.factor[head] = factor;
          smem.sum[head] = fma_rn(smem.sum[head], factor, sum);
        }
      }
      sync_block();
      HB_UNROLL
      for (int pass = 0; pass < kPasses; ++pass) {
        const int c = column + pass * width;
        if (c < a.d) {
          HB_UNROLL
          for (int i = 0; i < kHeads; ++i)
            if (slice + slices * i < heads) acc[pass][i] = mul_rn(acc[pass][i], smem.factor[slice + slices * i]);
          for (int at = 0; at < count; ++at) {
            const float value = widen(a.v[smem.slot[at] * a.d + c]);
            HB_UNROLL
            for (int i = 0; i < kHeads; ++i)
              if (slice + slices * i < heads)
                acc[pass][i] = fma_rn(smem.p[at * kHeads + slice + slices * i], value, acc[pass][i]);
          }
        }
      }
      sync_block();
    }
    if (a.partial && spans > 1) {
      for (int i = thread; i < heads; i += kThreads) {
        float* moments = a.moments + 2 * ((int64_t{row} * a.h + first_head + i) * a.spans + span);
        moments[0] = smem.largest[i], moments[1] = smem.sum[i];
      }
      HB_UNROLL
      for (int pass = 0; pass < kPasses; ++pass) {
        HB_UNROLL
        for (int i = 0; i < kHeads; ++i) {
          const int head = slice + slices * i, c = column + pass * width;
          if (head < heads && c < a.d)
            a.partial[((int64_t{row} * a.h + first_head + head) * a.spans + span) * a.d + c] = acc[pass][i];
        }
      }
      return;
    }
    if (thread < heads) {
      const Fold f = fold_spans(smem.fold_largest[thread], smem.largest[thread], a.scale_log2);
      smem.fold_old[thread] = f.old, smem.fold_new[thread] = f.next;
      smem.fold_largest[thread] = f.largest;
      smem.fold_sum[thread] = fma_rn(smem.sum[thread], f.next, mul_rn(smem.fold_sum[thread], f.old));
    }
    sync_block();
    HB_UNROLL
    for (int pass = 0; pass < kPasses; ++pass) {
      HB_UNROLL
      for (int i = 0; i < kHeads; ++i) {
        const int head = slice + slices * i;
        if (head < heads)
          fold[pass][i] = fma_rn(acc[pass][i], smem.fold_new[head], mul_rn(fold[pass][i], smem.fold_old[head]));
      }
    }
    sync_block();
  }
  HB_UNROLL
  for (int pass = 0; pass < kPasses; ++pass) {
    HB_UNROLL
    for (int i = 0; i < kHeads; ++i) {
      const int head = slice + slices * i, c = column + pass * width;
      if (head < heads && c < a.d)
        a.out[(int64_t{row} * a.h + first_head + head) * a.d + c] =
            narrow<T>(mul_rn(fold[pass][i], inverse_of(smem.fold_sum[head])));
    }
  }
}

/// Folds the spans of one head of one row, in order. Rows of one span are there already.
template <class T>
HB_KERNEL void HB_BOUNDS(kMostColumns, 4) paged_fold_kernel(PagedArgs<T> a) {
  const int row = static_cast<int>(block_x()), head = static_cast<int>(block_y());
  if (row >= live_count(a.rows, a.n)) return;
  const int tiles = ceil_div(paged_row(a, row).ranks, kTileRanks), spans = ceil_div(tiles, span_tiles(tiles));
  const int c = static_cast<int>(thread_x());
  if (spans < 2 || c >= a.d) return;
  const int64_t first = (int64_t{row} * a.h + head) * a.spans;
  float largest = -kInfinity, sum = 0.0f, fold = 0.0f;
  for (int span = 0; span < spans; ++span) {
    const float* moments = a.moments + 2 * (first + span);
    const Fold f = fold_spans(largest, moments[0], a.scale_log2);
    largest = f.largest;
    sum = fma_rn(moments[1], f.next, mul_rn(sum, f.old));
    fold = fma_rn(a.partial[(first + span) * a.d + c], f.next, mul_rn(fold, f.old));
  }
  a.out[(int64_t{row} * a.h + head) * a.d + c] = narrow<T>(mul_rn(fold, inverse_of(sum)));
}

/// Do bf16 rows go to tensor cores? Decided by shapes, and by where tensors begin, which programs align.
bool on_tensor_cores(const PagedAttention& a) {
  return is_bf16(a.q) && a.q.dims[2] % 8 == 0 && a.q.dims[2] <= kMostMmaColumns &&
         aligned16(a.q, a.k_cache, a.v_cache, a.out);
}

/// Spans that a row has at most.
int most_spans(const PagedAttention& a) {
  const int tiles = static_cast<int>(a.page_table.dims[1]);
  return tiles <= 2 * kMostSpans ? ceil_div(tiles, 2) : kMostSpans;
}

int heads_of_unit(const PagedAttention& a) {
  const int64_t per_group = a.q.dims[1] / a.k_cache.dims[1];
  return static_cast<int>(per_group < kHeads ? per_group : kHeads);
}

int units_of_group(const PagedAttention& a) {
  return ceil_div(static_cast<int>(a.q.dims[1] / a.k_cache.dims[1]), heads_of_unit(a));
}

/// Blocks that there are when each takes all spans of its rows.
int64_t whole_blocks(const PagedAttention& a) {
  const int64_t rows = on_tensor_cores(a) ? rows_per_block(heads_of_unit(a)) : 1;
  return (a.q.dims[0] + rows - 1) / rows * a.k_cache.dims[1] * units_of_group(a);
}

/// Rows are many enough when they give half of the largest card's multiprocessors a block each: spans would only add
/// traffic. The bits are the same either way.
bool spans_apart(const PagedAttention& a) {
  constexpr int64_t kEnoughBlocks = 72;
  return most_spans(a) > 1 && whole_blocks(a) < kEnoughBlocks;
}

}  // namespace

size_t paged_attention_workspace(const PagedAttention& a, int) {
  if (!spans_apart(a)) {
    if (most_spans(a) < 2 || !on_tensor_cores(a)) return 0;
    return static_cast<size_t>(whole_blocks(a) * folded_floats(mma_columns(static_cast<int>(a.q.dims[2])))) * 4;
  }
  return static_cast<size_t>(a.q.dims[0] * a.q.dims[1] * most_spans(a)) * (static_cast<size_t>(a.q.dims[2]) + 2) * 4;
}

const char* paged_attention_limit(const PagedAttention& a) {
  return a.q.dims[2] > kMostColumns ? "heads of more than 256 columns" : nullptr;
}

Status paged_attention_cuda(const OpContext& cx, const PagedAttention& a) {
  const int64_t n = a.q.dims[0], h = a.q.dims[1], d = a.q.dims[2];
  if (n == 0 || h == 0 || d == 0) return Status::success();
  return with_type(a.q, [&](auto* t) {
    using T = std::remove_reference_t<decltype(*t)>;
    PagedArgs<T> args{};
    args.q = a.q.as<T>(), args.k = a.k_cache.as<T>(), args.v = a.v_cache.as<T>();
    args.page_table = a.page_table.as<int32_t>(), args.seq = a.seq.as<int32_t>();
    args.visible = a.visible.as<int32_t>();
    args.own = a.own ? a.own.as<int32_t>() : nullptr;
    args.ancestors = a.ancestors ? a.ancestors.as<int32_t>() : nullptr;
    args.rows = a.rows ? a.rows.as<int32_t>() : nullptr;
    args.out = a.out.as<T>();
    args.flags = device(cx).flags;
    args.n = static_cast<int>(n), args.h = static_cast<int>(h), args.d = static_cast<int>(d);
    args.groups = static_cast<int>(a.k_cache.dims[1]), args.pages = static_cast<int>(a.k_cache.dims[0]);
    args.batch = static_cast<int>(a.page_table.dims[0]), args.table = static_cast<int>(a.page_table.dims[1]);
    args.spans = most_spans(a);
    args.unit_heads = heads_of_unit(a), args.units = units_of_group(a);
    args.scale_log2 = static_cast<float>(a.scale * 1.4426950408889634);  // log2(e)
    const bool apart = spans_apart(a);
    if (apart) {
      args.partial = static_cast<float*>(cx.scratch);
      args.moments = args.partial + n * h * args.spans * d;
    } else {
      args.folded = static_cast<float*>(cx.scratch);
    }
    const Stream stream = device(cx).stream;
    const unsigned depth = apart ? static_cast<unsigned>(args.spans) : 1;
    Status status = Status::success();
    if (std::is_same_v<T, uint16_t> && on_tensor_cores(a)) {
      if constexpr (std::is_same_v<T, uint16_t>) status = launch_paged_mma(stream, args);
    } else {
      const bool narrow_heads = d <= kThreads;
      status = launch(stream, narrow_heads ? paged_fma_kernel<T, kThreads> : paged_fma_kernel<T, kMostColumns>,
                      {static_cast<unsigned>(n), static_cast<unsigned>(args.groups * args.units), depth}, {kThreads},
                      narrow_heads ? sizeof(Smem<kThreads>) : sizeof(Smem<kMostColumns>), args);
    }
    if (!status.ok() || !apart) return status;
    return launch(stream, paged_fold_kernel<T>, {static_cast<unsigned>(n), static_cast<unsigned>(h)},
                  {static_cast<unsigned>(ceil_div(static_cast<int>(d), 32) * 32)}, 0, args);
  });
}

}  // namespace hb::cuda
