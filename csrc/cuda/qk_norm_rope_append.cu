// Norm and rotation of q and k heads, and the append of keys and values to their pages.
//
// Cost: every row of qkv is read once, q and the cache are written once; 4096 rows of the 7B model move 75 MB, 25 us on
// an H100.
#include "cuda/flags.h"
#include "cuda/kernels.h"
#include "cuda/launch.h"
#include "cuda/prim/prim.h"

namespace hb::cuda {
namespace {

constexpr int kThreads = 128, kRows = 16, kPart = 8;  // rows of a block; elements of a lane in each half of a head
constexpr int kSlots = static_cast<int>(kPageSlots), kMostColumns = 512;

template <class T, class G>
struct Args {
  const T* qkv;
  const G *q_norm, *k_norm, *q_norm_gen, *k_norm_gen;
  const float* rope;
  const int32_t *seq, *slots, *page_table, *split, *rows;
  T *k_cache, *v_cache, *q;
  uint32_t* flags;
  int n, h, d, groups, pages, batch, table, lanes;  // lanes: of a head, a power of 2
  float eps;
};

/// Keys on their way from rows to columns; the two elements more put a column's rows into different banks.
template <class T, int kColumns>
struct Smem {
  int64_t place[kRows];  ///< page * 64 + slot in it, -1: not appended
  T key[kRows][kColumns + 2];
};

/// Elements first .. first + 7 of a row of `end`, zeros beyond.
template <bool kWide, class T>
HB_DEVICE void load_part(float (&v)[kPart], const T* row, int first, int end) {
  if constexpr (kWide) {
    if (first < end) {
      load_row(v, row + first);
    } else {
      HB_UNROLL
      for (int i = 0; i < kPart; ++i) v[i] = 0.0f;
    }
  } else {
    HB_UNROLL
    for (int i = 0; i < kPart; ++i) v[i] = first + i < end ? widen(row[first + i]) : 0.0f;
  }
}
template <bool kWide, class T>
HB_DEVICE void store_part(T* row, const float (&v)[kPart], int first, int end) {
  if constexpr (kWide) {
    if (first < end) store_row(row + first, v);
  } else {
    HB_UNROLL
    for (int i = 0; i < kPart; ++i)
      if (first + i < end) row[first + i] = narrow<T>(v[i]);
  }
}

/// Block x: 16 rows; y: one of the q heads, then of the k heads, with whose rows go their values. A head is spread over
/// `lanes` lanes, each with eight elements of its first half and the eight that they are rotated with.
template <class T, class G, int kColumns, bool kWide>
HB_KERNEL void HB_BOUNDS(kThreads, 4) append_kernel(Args<T, G> a) {
  HB_DYN_SMEM(raw);
  Smem<T, kColumns>& smem = *reinterpret_cast<Smem<T, kColumns>*>(raw);
  const int live = live_count(a.rows, a.n), first_row = static_cast<int>(block_x()) * kRows;
  if (first_row >= live) return;
  const int head = static_cast<int>(block_y()), group = head - a.h, half = a.d / 2;
  const bool is_key = group >= 0;
  const int columns = (a.h + 2 * a.groups) * a.d, split = live_count(a.split, a.n);
  const int thread = static_cast<int>(thread_x()), first = thread % a.lanes * kPart;

  if (thread < kRows && first_row + thread < live) {
    const int row = first_row + thread, seq = a.seq[row], slot = a.slots[row];
    const bool outside = slot >= a.table * kSlots;
    if (head == 0 && (seq < 0 || seq >= a.batch || outside)) raise<kFlagIndexClamped>(a.flags);
    int64_t place = -1;
    if (slot >= 0 && !outside && a.batch > 0) {
      const int clamped = seq < 0 ? 0 : seq >= a.batch ? a.batch - 1 : seq;
      const int page = a.page_table[int64_t{clamped} * a.table + slot / kSlots];
      if (page >= 0 && page < a.pages) place = int64_t{page} * kSlots + slot % kSlots;
    }
    smem.place[thread] = place;
  }
  sync_block();

  for (int in_block = thread / a.lanes; in_block < kRows; in_block += kThreads / a.lanes) {
    const int row = first_row + in_block;
    const bool there = row < live;
    const T* x = a.qkv + int64_t{there ? row : first_row} * columns + int64_t{head} * a.d;
    float low[kPart], high[kPart];
    load_part<kWide>(low, x, first, half);
    load_part<kWide>(high, x + half, first, half);
    const bool gen = row >= split;
    const G* weight = is_key ? (gen ? a.k_norm_gen : a.k_norm) : (gen ? a.q_norm_gen : a.q_norm);
    if (a.q_norm) {  // all heads or none: lanes meet in the sum
      float squares = 0.0f;
      HB_UNROLL
      for (int i = 0; i < kPart; ++i) squares = fma_rn(low[i], low[i], squares);
      HB_UNROLL
      for (int i = 0; i < kPart; ++i) squares = fma_rn(high[i], high[i], squares);
      for (int step = a.lanes / 2; step > 0; step /= 2)
        squares = add_rn(squares, shuffle_xor(kAllLanes, squares, step));
      const float scale = div_rn(1.0f, sqrt_rn(add_rn(div_rn(squares, static_cast<float>(a.d)), a.eps)));
      if (weight) {
        float w[kPart];
        load_part<kWide>(w, weight, first, half);
        HB_UNROLL
        for (int i = 0; i < kPart; ++i) low[i] = mul_rn(mul_rn(low[i], scale), w[i]);
        load_part<kWide>(w, weight + half, first, half);
        HB_UNROLL
        for (int i = 0; i < kPart; ++i) high[i] = mul_rn(mul_rn(high[i], scale), w[i]);
      }
    }
    if (!there) continue;
    float cosine[kPart], sine[kPart];
    load_part<kWide>(cosine, a.rope + int64_t{row} * a.d, first, half);
    load_part<kWide>(sine, a.rope + int64_t{row} * a.d + half, first, half);
    HB_UNROLL
    for (int i = 0; i < kPart; ++i) {
      const float x1 = low[i], x2 = high[i];
      low[i] = sub_rn(mul_rn(x1, cosine[i]), mul_rn(x2, sine[i]));
      high[i] = add_rn(mul_rn(x2, cosine[i]), mul_rn(x1, sine[i]));
    }
    if (!is_key) {
      T* q = a.q + (int64_t{row} * a.h + head) * a.d;
      store_part<kWide>(q, low, first, half);
      store_part<kWide>(q + half, high, first, half);
      continue;
    }
    const int64_t place = smem.place[in_block];
    if (place < 0) continue;
    store_part<false>(smem.key[in_block], low, first, half);
    store_part<false>(smem.key[in_block] + half, high, first, half);
    const T* value = x + int64_t{a.groups} * a.d;
    const int64_t slot = place / kSlots * a.groups * kSlots + int64_t{group} * kSlots + place % kSlots;
    load_part<kWide>(low, value, first, half);
    load_part<kWide>(high, value + half, first, half);
    store_part<kWide>(a.v_cache + slot * a.d, low, first, half);
    store_part<kWide>(a.v_cache + slot * a.d + half, high, first, half);
  }
  if (!is_key) return;
  sync_block();
  // Rows fastest: rows that follow each other in a page fill whole sectors.
  for (int i = thread; i < kRows * a.d; i += kThreads) {
    const int row = i % kRows, column = i / kRows;
    if (first_row + row >= live) continue;
    const int64_t place = smem.place[row];
    if (place < 0) continue;
    a.k_cache[((place / kSlots * a.groups + group) * a.d + column) * kSlots + place % kSlots] = smem.key[row][column];
  }
}

}  // namespace

const char* qk_norm_rope_append_limit(const QkNormRopeAppend& a) {
  return a.k_cache.dims[2] > kMostColumns ? "heads of more than 512 columns" : nullptr;
}

Status qk_norm_rope_append_cuda(const OpContext& cx, const QkNormRopeAppend& a) {
  const int64_t n = a.qkv.dims[0], h = a.q.dims[1], g = a.k_cache.dims[1], d = a.k_cache.dims[2];
  if (n == 0) return Status::success();
  const bool wide =
      d % (2 * kPart) == 0 && aligned16(a.qkv, a.q_norm, a.k_norm, a.q_norm_gen, a.k_norm_gen, a.rope, a.v_cache, a.q);
  return with_types(a.qkv, a.q_norm, [&](auto* t, auto* w) {
    using T = std::remove_reference_t<decltype(*t)>;
    using G = std::remove_reference_t<decltype(*w)>;
    Args<T, G> args{};
    args.qkv = a.qkv.as<T>(), args.rope = a.rope.as<float>();
    args.q_norm = a.q_norm ? a.q_norm.as<G>() : nullptr, args.k_norm = a.k_norm ? a.k_norm.as<G>() : nullptr;
    args.q_norm_gen = a.q_norm_gen ? a.q_norm_gen.as<G>() : nullptr;
    args.k_norm_gen = a.k_norm_gen ? a.k_norm_gen.as<G>() : nullptr;
    args.seq = a.seq.as<int32_t>(), args.slots = a.slots.as<int32_t>(), args.page_table = a.page_table.as<int32_t>();
    args.split = a.split ? a.split.as<int32_t>() : nullptr, args.rows = a.rows ? a.rows.as<int32_t>() : nullptr;
    args.k_cache = a.k_cache.as<T>(), args.v_cache = a.v_cache.as<T>(), args.q = a.q.as<T>();
    args.flags = device(cx).flags;
    args.n = static_cast<int>(n), args.h = static_cast<int>(h), args.d = static_cast<int>(d);
    args.groups = static_cast<int>(g), args.pages = static_cast<int>(a.k_cache.dims[0]);
    args.batch = static_cast<int>(a.page_table.dims[0]), args.table = static_cast<int>(a.page_table.dims[1]);
    args.lanes = 1;
    while (args.lanes * 2 * kPart < args.d) args.lanes *= 2;
    args.eps = static_cast<float>(a.eps);
    const Extent grid = {static_cast<unsigned>((n + kRows - 1) / kRows), static_cast<unsigned>(h + g)};
    const bool narrow_heads = d <= 128;
    const auto kernel =
        narrow_heads ? (wide ? append_kernel<T, G, 128, true> : append_kernel<T, G, 128, false>)
                     : (wide ? append_kernel<T, G, kMostColumns, true> : append_kernel<T, G, kMostColumns, false>);
    return launch(device(cx).stream, kernel, grid, {kThreads},
                  narrow_heads ? sizeof(Smem<T, 128>) : sizeof(Smem<T, kMostColumns>), args);
  });
}

}  // namespace hb::cuda
