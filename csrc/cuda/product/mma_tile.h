#pragma once
// bf16 rows and weights on tensor cores (mma.m16n8k16). The weight is the first operand: 16 features by 8 rows per
// instruction, so that one row of a decode step wastes 7 columns, not 15.
#include "cuda/product/product.h"

namespace hb::cuda {

/// A block of kWarpsF x kWarpsR warps, each with kTilesF x kTilesR fragments of 16 features by 8 rows.
template <int kWarpsF, int kWarpsR, int kTilesF, int kTilesR, int kStages_, int kBlocks_>
struct MmaTile {
  static constexpr int kFeatures = 16 * kTilesF * kWarpsF, kRows = 8 * kTilesR * kWarpsR, kDepth = 64;
  static constexpr int kThreads = 32 * kWarpsF * kWarpsR, kStages = kStages_, kBlocks = kBlocks_;
  using StagedW = Staged<uint16_t, kFeatures, kDepth>;
  using StagedX = Staged<uint16_t, kRows, kDepth>;
  static_assert(kTilesR == 1 || kTilesR % 2 == 0);

  struct Sums {
    float d[kTilesF][kTilesR][4];
  };

  static HB_DEVICE int first_feature() { return static_cast<int>(warp()) % kWarpsF * 16 * kTilesF; }
  static HB_DEVICE int first_row() { return static_cast<int>(warp()) / kWarpsF * 8 * kTilesR; }

  static HB_DEVICE void clear(Sums& sums) {
    HB_UNROLL
    for (int f = 0; f < kTilesF; ++f) HB_UNROLL
    for (int r = 0; r < kTilesR; ++r) HB_UNROLL
    for (int i = 0; i < 4; ++i) sums.d[f][r][i] = 0.0f;
  }

  static HB_DEVICE void multiply(Sums& sums, const unsigned char* w, const unsigned char* x) {
    const int l = static_cast<int>(lane());
    HB_UNROLL
    for (int k = 0; k < kDepth / 8; k += 2) {  // chunks of 8 columns
      uint32_t a[kTilesF][4], b[kTilesR][2];
      HB_UNROLL
      for (int f = 0; f < kTilesF; ++f)
        ldmatrix_x4(a[f], w + StagedW::offset(first_feature() + 16 * f + l % 16, k + l / 16));
      if constexpr (kTilesR == 1) {
        ldmatrix_x2(b[0], x + StagedX::offset(first_row() + l % 8, k + l / 8 % 2));
      } else {
        HB_UNROLL
        for (int r = 0; r < kTilesR; r += 2) {
          uint32_t pair[4];
          ldmatrix_x4(pair, x + StagedX::offset(first_row() + 8 * r + l % 8 + l / 16 * 8, k + l / 8 % 2));
          b[r][0] = pair[0], b[r][1] = pair[1], b[r + 1][0] = pair[2], b[r + 1][1] = pair[3];
        }
      }
      HB_UNROLL
      for (int f = 0; f < kTilesF; ++f) HB_UNROLL
      for (int r = 0; r < kTilesR; ++r) mma_bf16(sums.d[f][r], a[f], b[r]);
    }
  }

  static HB_DEVICE void store(const Sums& sums, float* tile) {
    const int l = static_cast<int>(lane());
    HB_UNROLL
    for (int f = 0; f < kTilesF; ++f) HB_UNROLL
    for (int r = 0; r < kTilesR; ++r) HB_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int row = first_row() + 8 * r + l % 4 * 2 + i % 2, feature = first_feature() + 16 * f + l / 4 + i / 2 * 8;
      tile[row * kSumStride<MmaTile> + feature] = sums.d[f][r][i];
    }
  }
};

// Features x rows. Up to 32 rows the weight is read once by many small blocks, each with some 30 KB under way: 3 TB/s
// times a microsecond is 3 MB over all multiprocessors. One warp alone per 16 features: 224 blocks for 3584 outputs.
using Mma16x8 = MmaTile<1, 1, 1, 1, 12, 1>;
using Mma32x16 = MmaTile<2, 1, 1, 2, 8, 1>;
using Mma32x32 = MmaTile<2, 1, 1, 4, 6, 1>;
// 3584 outputs are 56 blocks, 80 KB under way in each.
using Mma64x64 = MmaTile<2, 2, 2, 4, 6, 2>;
// 16 products per 6 loads of fragments.
using Mma128x128 = MmaTile<2, 4, 4, 4, 3, 1>;
// For shapes whose rows are not aligned to 16 bytes: element by element.
using MmaNarrow = MmaTile<2, 2, 1, 2, 4, 1>;

}  // namespace hb::cuda
