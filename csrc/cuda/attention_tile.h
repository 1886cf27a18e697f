#pragma once
// Attention of 16 query rows of one warp over a tile of 64 keys on tensor cores, for bf16. Included by device code.
//
// Shared memory holds rows of 16-byte parts, so placed that eight rows that ldmatrix reads at once lie in different
// banks.
#include "cuda/attention_rows.h"

namespace hb::cuda {

/// Elements from one row to the next. Rows of 32, 64 or 128 elements permute their parts; others are eight longer.
HB_HD constexpr int pitch_of(int width) { return (width & (width - 1)) == 0 ? width : width + 8; }

/// Place of part `part` of row `row`, in elements, where rows have kWidth elements, a multiple of 16 from 32 on.
template <int kWidth>
HB_DEVICE int part_at(int row, int part) {
  constexpr int kPitch = pitch_of(kWidth);
  if constexpr (kPitch > kWidth) {
    static_assert(kPitch / 8 % 2 == 1);
    return row * kPitch + 8 * part;
  } else {
    return row * kWidth + 8 * (part ^ (kWidth == 32 ? row >> 1 & 3 : row & 7));
  }
}

/// Sums of a warp over the keys so far. A lane has rows lane / 4 and lane / 4 + 8, of each 8 columns 2 (lane % 4) and
/// the next.
template <int kColumns>
struct TileSums {
  float out[kColumns / 8][4];
  float largest[2];  ///< raw scores
  float sum[2];      ///< of this lane's columns alone, until it is finished

  HB_DEVICE void clear() {
    HB_UNROLL
    for (int i = 0; i < kColumns / 8; ++i) {
      HB_UNROLL
      for (int j = 0; j < 4; ++j) out[i][j] = 0.0f;
    }
    HB_UNROLL
    for (int i = 0; i < 2; ++i) largest[i] = -kInfinity, sum[i] = 0.0f;
  }
};

/// Raw scores of 16 rows `q` [16, kColumns] against keys that lie transposed, [kColumns, 64], or row by row,
/// [64, kColumns]. Only the first `keys` are looked at.
template <int kColumns, bool kTransposed>
HB_DEVICE void tile_scores(float (&scores)[8][4], const uint16_t* q, const uint16_t* k, int keys, int lane) {
  const int row = lane % 16, half = lane / 16;
  HB_UNROLL
  for (int i = 0; i < 8; ++i) {
    HB_UNROLL
    for (int j = 0; j < 4; ++j) scores[i][j] = 0.0f;
  }
  HB_UNROLL
  for (int step = 0; step < kColumns / 16; ++step) {
    uint32_t a[4];
    ldmatrix_x4(a, q + part_at<kColumns>(row, 2 * step + half));
    HB_UNROLL
    for (int i = 0; i < 8; i += 2) {
      if (8 * i >= keys) continue;
      uint32_t b[4];
      if constexpr (kTransposed) {
        ldmatrix_x4_trans(b, k + part_at<kTileRanks>(16 * step + row, i + half));
      } else {
        ldmatrix_x4(b, k + part_at<kColumns>(8 * (i + half) + row % 8, 2 * step + row / 8));
      }
      mma_bf16(scores[i], a, {b[0], b[1]});
      mma_bf16(scores[i + 1], a, {b[2], b[3]});
    }
  }
}

/// Scores become weights, and the sums so far relative to the new largest score. Lanes see keys below limit[row]; a
/// row that sees none of the tile stays as it was to the bit.
template <int kColumns>
HB_DEVICE void tile_weights(float (&scores)[8][4], TileSums<kColumns>& sums, const int (&limit)[2], float scale_log2) {
  const int first = 2 * (static_cast<int>(lane()) % 4);
  float factor[2];
  HB_UNROLL
  for (int r = 0; r < 2; ++r) {
    float largest = sums.largest[r];
    HB_UNROLL
    for (int i = 0; i < 8; ++i) {
      HB_UNROLL
      for (int j = 0; j < 2; ++j) {
        const float s = scores[i][2 * r + j];
        if (8 * i + first + j < limit[r] && s > largest) largest = s;
      }
    }
    HB_UNROLL
    for (int step = 1; step < 4; step *= 2) {
      const float other = shuffle_xor(kAllLanes, largest, step);
      largest = other > largest ? other : largest;
    }
    factor[r] = rescale(sums.largest[r], largest, scale_log2);
    sums.largest[r] = largest;
    float sum = 0.0f;
    HB_UNROLL
    for (int i = 0; i < 8; ++i) {
      HB_UNROLL
      for (int j = 0; j < 2; ++j) {
        float& s = scores[i][2 * r + j];
        s = 8 * i + first + j < limit[r] ? widen(f32_to_bf16(weight_of(s, largest, scale_log2))) : 0.0f;
        sum = add_rn(sum, s);
      }
    }
    sums.sum[r] = fma_rn(sums.sum[r], factor[r], sum);
  }
  HB_UNROLL
  for (int i = 0; i < kColumns / 8; ++i) {
    HB_UNROLL
    for (int j = 0; j < 4; ++j) sums.out[i][j] = mul_rn(sums.out[i][j], factor[j / 2]);
  }
}

/// Adds weights times values `v` [64, kColumns], of which the first `keys` are looked at, rounded up to 16: beyond them
/// lie zeros. kSome: rows that see none of these keys keep their sums, whatever the values are.
template <int kColumns, bool kSome>
HB_DEVICE void tile_values(const float (&weights)[8][4], TileSums<kColumns>& sums, const uint16_t* v, int keys,
                           const int (&limit)[2], int lane) {
  const int row = lane % 16, half = lane / 16;
  HB_UNROLL
  for (int step = 0; step < 4; ++step) {
    if (16 * step >= keys) continue;
    const uint32_t a[4] = {pack_bf16(weights[2 * step][0], weights[2 * step][1]),
                           pack_bf16(weights[2 * step][2], weights[2 * step][3]),
                           pack_bf16(weights[2 * step + 1][0], weights[2 * step + 1][1]),
                           pack_bf16(weights[2 * step + 1][2], weights[2 * step + 1][3])};
    HB_UNROLL
    for (int i = 0; i < kColumns / 8; i += 2) {
      uint32_t b[4];
      ldmatrix_x4_trans(b, v + part_at<kColumns>(16 * step + row, i + half));
      HB_UNROLL
      for (int pair = 0; pair < 2; ++pair) {
        float (&out)[4] = sums.out[i + pair];
        if constexpr (kSome) {
          float sum[4] = {out[0], out[1], out[2], out[3]};
          mma_bf16(sum, a, {b[2 * pair], b[2 * pair + 1]});
          HB_UNROLL
          for (int j = 0; j < 4; ++j) out[j] = limit[j / 2] > 0 ? sum[j] : out[j];
        } else {
          mma_bf16(out, a, {b[2 * pair], b[2 * pair + 1]});
        }
      }
    }
  }
}

/// Each row's sum of weights over all columns, in every lane that has the row.
template <int kColumns>
HB_DEVICE void finish_sums(TileSums<kColumns>& sums) {
  HB_UNROLL
  for (int r = 0; r < 2; ++r) {
    HB_UNROLL
    for (int step = 1; step < 4; step *= 2)
      sums.sum[r] = add_rn(sums.sum[r], shuffle_xor(kAllLanes, sums.sum[r], step));
  }
}

/// Sums of the spans so far: too many registers beside those of the next span, so each lane keeps its own in memory
/// while that is made, `kStride` floats apart, kColumns / 2 + 4 of them. Rows of one span leave it untouched.
template <int kColumns, int kStride>
struct FoldedSums {
  float* of_lane;

  /// Adds the sums of span `span` of `spans`, which are then those of all spans so far.
  HB_DEVICE void add(TileSums<kColumns>& next, int span, int spans, float scale_log2) {
    HB_UNROLL
    for (int r = 0; r < 2; ++r) {
      float* const largest = of_lane + (kColumns / 2 + r) * kStride;
      float* const sum = of_lane + (kColumns / 2 + 2 + r) * kStride;
      const bool first = span == 0, last = span + 1 == spans;
      const Fold f = fold_spans(first ? -kInfinity : *largest, next.largest[r], scale_log2);
      next.largest[r] = f.largest;
      next.sum[r] = fma_rn(next.sum[r], f.next, mul_rn(first ? 0.0f : *sum, f.old));
      if (!last) *largest = next.largest[r], *sum = next.sum[r];
      HB_UNROLL
      for (int i = 0; i < kColumns / 8; ++i) {
        HB_UNROLL
        for (int j = 2 * r; j < 2 * r + 2; ++j) {
          float* const out = of_lane + (4 * i + j) * kStride;
          next.out[i][j] = fma_rn(next.out[i][j], f.next, mul_rn(first ? 0.0f : *out, f.old));
          if (!last) *out = next.out[i][j];
        }
      }
    }
  }
};

/// Is one of the eight bf16 numbers of a part infinite or no number?
HB_DEVICE bool not_finite(const Vec16& part) {
  bool found = false;
  HB_UNROLL
  for (int i = 0; i < 4; ++i)
    found = found || (part.word[i] & 0x7f80u) == 0x7f80u || (part.word[i] & 0x7f800000u) == 0x7f800000u;
  return found;
}

}  // namespace hb::cuda
