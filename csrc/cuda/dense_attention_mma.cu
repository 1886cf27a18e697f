// The tensor core kernel of dense attention: bf16, heads of up to 128 columns.
//
// A block takes 64 rows of a head, a warp 16 of them, and reads keys and values tile by tile, two tiles under way. Rows
// of different ranges are taken one range after another.
// Cost on an H100: a tile is 24 KB and 1.2 MFLOP per row of 80 columns; the ViT pads its 72 columns to 80.
#include "cuda/attention_tile.h"
#include "cuda/dense_attention.h"

namespace hb::cuda {
namespace {

constexpr int kWarps = 4, kThreads = kWarps * static_cast<int>(kWarpLanes), kRows = 64;
using Args = DenseArgs<uint16_t>;

template <int kColumns>
struct alignas(16) Smem {
  static constexpr int kElements = kTileRanks * pitch_of(kColumns);
  uint16_t k[2][kElements], v[2][kElements], q[kElements];
};

/// Queues the copy of rows `from`, `stride` apart, to [64, kColumns]: `there` of them, zeros beyond and beyond d
/// columns.
template <int kColumns>
HB_DEVICE void load_rows(const Args& a, uint16_t* to, const uint16_t* from, int there) {
  constexpr int kParts = kColumns / 8;
  const int64_t stride = int64_t{3} * a.h * a.d;
  HB_UNROLL
  for (int i = 0; i < kTileRanks * kParts / kThreads; ++i) {
    const int at = static_cast<int>(thread_x()) + kThreads * i, row = at / kParts, part = at % kParts;
    const bool inside = row < there && 8 * part < a.d;
    cp_async16(to + part_at<kColumns>(row, part), inside ? from + row * stride + 8 * part : a.qkv, inside ? 16 : 0);
  }
}

/// Block x: 64 rows; y: a head.
template <int kColumns>
HB_KERNEL void HB_BOUNDS(kThreads, 2) dense_mma_kernel(Args a) {
  HB_DYN_SMEM(raw);
  Smem<kColumns>& smem = *reinterpret_cast<Smem<kColumns>*>(raw);
  const int live = live_count(a.rows, a.n), begin = static_cast<int>(block_x()) * kRows;
  if (begin >= live) return;
  const int end = begin + kRows < live ? begin + kRows : live, head = static_cast<int>(block_y());
  const int64_t stride = int64_t{3} * a.h * a.d;
  const uint16_t* const k = a.qkv + int64_t{a.h + head} * a.d;
  const uint16_t* const v = k + int64_t{a.h} * a.d;
  const int own = begin + static_cast<int>(warp()) * 16, mine = own + static_cast<int>(lane()) / 4;
  const uint16_t* const q = smem.q + static_cast<int>(warp()) * 16 * pitch_of(kColumns);

  load_rows<kColumns>(a, smem.q, a.qkv + begin * stride + int64_t{head} * a.d, end - begin);
  cp_async_commit();
  TileSums<kColumns> sums;
  sums.clear();
  HB_ROLLED
  for (int first = begin; first < end;) {
    const int next = end_of_run(a, first, end, live);
    const KeyRange keys = keys_of(a, first, live);
    const bool some = first > begin || next < end;  // other rows see other keys
    auto load = [&](int stage, int base) {
      load_rows<kColumns>(a, smem.k[stage], k + base * stride, keys.last - base);
      load_rows<kColumns>(a, smem.v[stage], v + base * stride, keys.last - base);
      cp_async_commit();
    };
    sync_block();
    if (keys.first < keys.last) load(0, keys.first);
    int stage = 0;
    HB_ROLLED
    for (int base = keys.first; base < keys.last; base += kTileRanks, stage ^= 1) {
      const int count = keys.last - base < kTileRanks ? keys.last - base : kTileRanks;
      cp_async_wait_all();
      sync_block();
      if (base + kTileRanks < keys.last) load(stage ^ 1, base + kTileRanks);
      if (own >= next || own + 16 <= first) continue;
      const int limits[2] = {mine >= first && mine < next ? count : 0,
                             mine + 8 >= first && mine + 8 < next ? count : 0};
      float scores[8][4];
      tile_scores<kColumns, false>(scores, q, smem.k[stage], count, static_cast<int>(lane()));
      tile_weights(scores, sums, limits, a.scale_log2);
      if (some) {
        tile_values<kColumns, true>(scores, sums, smem.v[stage], count, limits, static_cast<int>(lane()));
      } else {
        tile_values<kColumns, false>(scores, sums, smem.v[stage], count, limits, static_cast<int>(lane()));
      }
    }
    first = next;
  }
  cp_async_wait_all();
  finish_sums(sums);
  const int column = 2 * (static_cast<int>(lane()) % 4);
  HB_UNROLL
  for (int r = 0; r < 2; ++r) {
    const int row = mine + 8 * r;
    if (row >= end) continue;
    const float inverse = inverse_of(sums.sum[r]);
    uint16_t* out = a.out + (int64_t{row} * a.h + head) * a.d + column;
    HB_UNROLL
    for (int i = 0; i < kColumns / 8; ++i)
      if (8 * i < a.d)
        *reinterpret_cast<uint32_t*>(out + 8 * i) =
            pack_bf16(mul_rn(sums.out[i][2 * r], inverse), mul_rn(sums.out[i][2 * r + 1], inverse));
  }
}

template <int kColumns>
Status launch_columns(Stream stream, const Args& a) {
  return launch(stream, dense_mma_kernel<kColumns>,
                {static_cast<unsigned>(ceil_div(a.n, kRows)), static_cast<unsigned>(a.h)}, {kThreads},
                sizeof(Smem<kColumns>), a);
}

}  // namespace

Status launch_dense_mma(Stream stream, const Args& a) {
  if (a.d <= 32) return launch_columns<32>(stream, a);
  if (a.d <= 64) return launch_columns<64>(stream, a);
  if (a.d <= 80) return launch_columns<80>(stream, a);
  return launch_columns<128>(stream, a);
}

}  // namespace hb::cuda
