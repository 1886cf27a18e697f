#pragma once
// Rows or weights in f32, or both: products in f32 with one rounding each (no TF32); bf16 operands are widened. The
// sums have the bits of the CPU's f32 kernels.
#include <type_traits>

#include "cuda/product/product.h"

namespace hb::cuda {

/// A block of kWarpsF x kWarpsR warps; a warp has 8 x 4 lanes with kF features and kR rows each.
template <class X, class W, int kWarpsF, int kWarpsR, int kF, int kR, int kDepth_, int kStages_, int kBlocks_>
struct FmaTile {
  static constexpr int kFeatures = 8 * kF * kWarpsF, kRows = 4 * kR * kWarpsR, kDepth = kDepth_;
  static constexpr int kThreads = 32 * kWarpsF * kWarpsR, kStages = kStages_, kBlocks = kBlocks_;
  using StagedW = Staged<W, kFeatures, kDepth>;
  using StagedX = Staged<X, kRows, kDepth>;
  /// Columns that are in registers at once: a chunk of the narrower type.
  static constexpr int kColumns = sizeof(X) + sizeof(W) == 8 ? 4 : 8;

  struct Sums {
    float v[kF][kR];
  };

  static HB_DEVICE int feature(int i) {
    return (static_cast<int>(warp()) % kWarpsF * kF + i) * 8 + static_cast<int>(lane()) % 8;
  }
  static HB_DEVICE int row(int j) {
    return (static_cast<int>(warp()) / kWarpsF * 4 + static_cast<int>(lane()) / 8) * kR + j;
  }

  static HB_DEVICE void clear(Sums& sums) {
    HB_UNROLL
    for (int i = 0; i < kF; ++i) HB_UNROLL
    for (int j = 0; j < kR; ++j) sums.v[i][j] = 0.0f;
  }

  /// kColumns elements of a staged row, not widened yet.
  template <class S>
  struct Strip {
    static constexpr int kVectors = kColumns / S::kPerChunk;
    Vec16 v[kVectors];
    HB_DEVICE void load(const unsigned char* staged, int row, int column) {
      HB_UNROLL
      for (int i = 0; i < kVectors; ++i) v[i] = load16(staged + S::offset(row, column / S::kPerChunk + i));
    }
    HB_DEVICE float operator[](int i) const {
      if constexpr (S::kPerChunk == 8) {
        const uint32_t pair = v[0].word[i / 2];
        return i % 2 ? bf16_high(pair) : bf16_low(pair);
      } else {
        return as_f32(v[i / 4].word[i % 4]);
      }
    }
  };

  static HB_DEVICE void multiply(Sums& sums, const unsigned char* w, const unsigned char* x) {
    for (int k = 0; k < kDepth; k += kColumns) {
      Strip<StagedW> weights[kF];
      HB_UNROLL
      for (int i = 0; i < kF; ++i) weights[i].load(w, feature(i), k);
      HB_UNROLL
      for (int j = 0; j < kR; ++j) {
        Strip<StagedX> values;
        values.load(x, row(j), k);
        HB_UNROLL
        for (int c = 0; c < kColumns; ++c) HB_UNROLL
        for (int i = 0; i < kF; ++i) sums.v[i][j] = fma_rn(values[c], weights[i][c], sums.v[i][j]);
      }
    }
  }

  static HB_DEVICE void store(const Sums& sums, float* tile) {
    HB_UNROLL
    for (int i = 0; i < kF; ++i) HB_UNROLL
    for (int j = 0; j < kR; ++j) tile[row(j) * kSumStride<FmaTile> + feature(i)] = sums.v[i][j];
  }
};

// Features x rows.
template <class X, class W>
using Fma32x8 = FmaTile<X, W, 4, 1, 1, 2, 64, 4, 1>;
template <class X, class W>
using Fma64x64 = FmaTile<X, W, 2, 2, 4, 8, 32, 3, 2>;
// 256 products per 16 loads of 16 bytes: bound by products.
using Fma128x128 = FmaTile<float, float, 2, 4, 8, 8, 16, 4, 2>;
/// For few features: the last layer of a decoder makes 3 channels.
using Fma8x128 = FmaTile<float, float, 1, 4, 1, 8, 32, 3, 4>;

}  // namespace hb::cuda
