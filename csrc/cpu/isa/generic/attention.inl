// Attention of up to kAttentionRows query rows over tiles of 64 slots, in blocks of a few rows that take turns at a tile while it is
// near. The row maximum is exact, sums are single chains in a fixed order. So a row's bits depend neither on the rows beside it, nor on
// where its keys lie, nor on the slots that it does not see: their values are never used.

/// Rows of a block at most: their sums over 64 columns, the columns and what they are multiplied by fill 32 registers.
static constexpr int kAttentionBlock = HB_TILE_ROWS == 6 ? 6 : 4;
static constexpr int kAttentionBlocks = (kAttentionRows + kAttentionBlock - 1) / kAttentionBlock;  ///< of a call at most

/// Rows of `a` that share registers, and what they see.
struct AttentionBlock {
  int first, rows;
  int64_t common;               ///< every row sees the slots before it
  int64_t lead;                 ///< one past the last slot of the first range of some row
  int64_t own_first, own_last;  ///< first, and one past the last, slot of the second range of some row
  int64_t tiles() const { return ((lead > own_last ? lead : own_last) + 63) / 64; }
  /// Keys of a tile up to the last one that some row sees; none at or below 0.
  int64_t keys_of(int64_t tile) const {
    const int64_t last = tile >= own_first / 64 && own_last > lead ? own_last : lead;
    return last - tile * 64;
  }
};

/// One past the last slot of a row's second range that it sees; the range's first if there is none.
static inline int64_t own_end(const AttentionRows& a, int row) {
  const int64_t first = a.own[2 * row], last = a.own[2 * row + 1];
  if (!a.ancestors) return last;
  for (int word = 3; word >= 0; --word) {
    const uint32_t bits = a.ancestors[4 * row + word];
    if (!bits) continue;
    const int64_t end = first + 32 * (word + 1) - __builtin_clz(bits);
    return end < last ? end : last;
  }
  return first;
}

/// Slots of a row's second range that its bits pick, in order.
template <class F>
static inline void each_ancestor(const AttentionRows& a, int row, F&& visit) {
  const int64_t first = a.own[2 * row], last = a.own[2 * row + 1];
  const int64_t most = last - first < 128 ? last - first : 128;
  for (int64_t start = 0; start < most; start += 32) {
    uint32_t bits = a.ancestors[4 * row + (start >> 5)];
    if (most - start < 32) bits &= (1u << (most - start)) - 1u;
    for (; bits; bits &= bits - 1) visit(first + start + __builtin_ctz(bits));
  }
}

#include "cpu/isa/generic/attention_scores.inl"
// after it: weights in place of scores
#include "cpu/isa/generic/attention_values.inl"

/// Cuts the rows into blocks, as equal as can be; returns how many.
static int attention_blocks(const AttentionRows& a, AttentionBlock* blocks) {
  const int count = (a.rows + kAttentionBlock - 1) / kAttentionBlock;
  for (int b = 0, row = 0; b < count; ++b) {
    AttentionBlock& block = blocks[b];
    block.first = row;
    block.rows = a.rows / count + (b < a.rows % count);
    row += block.rows;
    block.common = block.own_first = INT64_MAX;
    block.lead = block.own_last = 0;
    for (int r = block.first; r < row; ++r) {
      block.lead = a.visible[r] > block.lead ? a.visible[r] : block.lead;
      block.common = a.visible[r] < block.common ? a.visible[r] : block.common;
      const int64_t own = a.own[2 * r], end = own_end(a, r);
      if (own < end) {
        block.own_first = own < block.own_first ? own : block.own_first;
        block.own_last = end > block.own_last ? end : block.own_last;
      }
    }
  }
  return count;
}

template <class T>
static void attend_as(const AttentionRows& a) {
  AttentionBlock blocks[kAttentionBlocks];
  const int count = attention_blocks(a, blocks);
  attend_weights<T>(a, blocks, count);
  float weights[kAttentionRows * W];
  for (int r = 0; r < a.rows; ++r) store(weights + r * W, zero());
  for (int64_t column = 0; column < a.d; column += 64) {
    const int64_t left = a.d - column < 64 ? a.d - column : 64;
    const int last = static_cast<int>(left - (left - 1) / 16 * 16);
    switch ((left + 15) / 16) {
      case 1: attend_columns<T, 1>(a, blocks, count, column, last, weights); break;
      case 2: attend_columns<T, 2>(a, blocks, count, column, last, weights); break;
      case 3: attend_columns<T, 3>(a, blocks, count, column, last, weights); break;
      default: attend_columns<T, 4>(a, blocks, count, column, last, weights); break;
    }
  }
}

static void attend(const AttentionRows& a) { return a.bf16 ? attend_as<uint16_t>(a) : attend_as<float>(a); }
