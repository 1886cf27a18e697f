// Attention of up to kAttentionRows query rows over tiles of 64 slots, in blocks of a few rows that take turns at a tile while it is
// near. A score is one chain over the head dim, of its pairs where bf16 is multiplied in pairs; the row maximum is exact; an output is
// one chain over the seen keys in slot order. So a row's bits depend neither on the rows beside it, nor on where its keys lie, nor on
// the slots that it does not see: their values are never used.

/// Rows of a block at most: their sums over 64 columns, the columns and what they are multiplied by fill 32 registers.
static constexpr int kAttentionBlock = HB_TILE_ROWS == 6 ? 6 : 4;
static constexpr int kAttentionBlocks = (kAttentionRows + kAttentionBlock - 1) / kAttentionBlock;  ///< of a call at most

/// Rows of `a` that share registers, and what they see.
struct AttentionBlock {
  int first, rows;
  int64_t common;              ///< every row sees slots before it
  int64_t lead_tiles;          ///< tiles that hold slots of the first range of some row
  int64_t own_first, own_last; ///< tiles of the second range of some row
  bool needs(int64_t tile) const { return tile < lead_tiles || (tile >= own_first && tile < own_last); }
};

/// The tile that is worked on next may be anywhere in memory, so that the processor does not guess it. Each of the blocks that take turns
/// at a tile asks for its share of the next one: requests of the first block alone would be more than memory answers in that time.
template <class T>
struct AttentionAhead {
  const T* tile;  ///< null: there is none
  int first = 0;  ///< row of 64 elements that the block asks for first
  int step = 1;   ///< blocks: it asks for every `step`-th row
};

template <class T>
static inline void fetch_64(const T* p) {
  for (int c = 0; c < 64; c += static_cast<int>(64 / sizeof(T))) __builtin_prefetch(p + c, 0, 3);
}

#ifdef HB_DOT_PAIRS
/// Scores of R rows from `first` on with the keys of one tile: chains of pairs of the head dim, the last one's second half 0 if d is odd.
template <int R>
static void attend_scores_dot(const AttentionRows& a, int first, const uint16_t* k, int64_t tile, const AttentionAhead<uint16_t>& ahead) {
  static const uint16_t none[64] = {};
  const int64_t pairs = (a.d + 1) / 2, whole = a.d / 2, stride = a.score_stride;
  const uint16_t* const q = a.q_pairs + first * 2 * pairs;
  float* const scores = a.scores + first * stride + tile * 64;
  const V scale = set1(a.scale);
  const uint16_t* const next = ahead.tile;
  const int64_t step = ahead.step;
  int64_t fetch = next ? ahead.first : pairs;
  V acc[R][4];
  HB_UNROLL
  for (int r = 0; r < R; ++r)
    HB_UNROLL
    for (int c = 0; c < 4; ++c) acc[r][c] = zero();
  for (int64_t d = 0; d < pairs; ++d) {
    VI key[4];
    zip_64(k + d * 128, d < whole ? k + d * 128 + 64 : none, key);
    if (d == fetch) {
      fetch_64(next + d * 128);
      if (d < whole) fetch_64(next + d * 128 + 64);
      fetch += step;
    }
    HB_UNROLL
    for (int r = 0; r < R; ++r) {
      int32_t pair;
      memcpy(&pair, q + (r * pairs + d) * 2, 4);
      const VI x = iset1(pair);
      HB_UNROLL
      for (int c = 0; c < 4; ++c) acc[r][c] = dot_pairs(acc[r][c], x, key[c]);
    }
  }
  HB_UNROLL
  for (int r = 0; r < R; ++r)
    HB_UNROLL
    for (int c = 0; c < 4; ++c) store(scores + r * stride + c * 16, mul(acc[r][c], scale));
}
#endif

/// Scores of R rows from `first` on with the keys of one tile.
template <class T, int R>
static void attend_scores(const AttentionRows& a, int first, const T* k, int64_t tile, const AttentionAhead<T>& ahead) {
#ifdef HB_DOT_PAIRS
  if constexpr (sizeof(T) == 2) return attend_scores_dot<R>(a, first, k, tile, ahead);
#endif
  const float* const q = a.q + first * a.d;
  float* const scores = a.scores + first * a.score_stride + tile * 64;
  const int64_t width = a.d, stride = a.score_stride;
  const V scale = set1(a.scale);
  const T* const next = ahead.tile;
  const int64_t step = ahead.step;
  int64_t fetch = next ? ahead.first : width;
  V acc[R][4];
  HB_UNROLL
  for (int r = 0; r < R; ++r)
    HB_UNROLL
    for (int c = 0; c < 4; ++c) acc[r][c] = zero();
  for (int64_t d = 0; d < width; ++d) {
    V key[4];
    HB_UNROLL
    for (int c = 0; c < 4; ++c) key[c] = load_as(k + d * 64 + c * 16);
    if (d == fetch) {
      fetch_64(next + d * 64);
      fetch += step;
    }
    HB_UNROLL
    for (int r = 0; r < R; ++r) {
      const V x = set1(q[r * width + d]);
      HB_UNROLL
      for (int c = 0; c < 4; ++c) acc[r][c] = mac(x, key[c], acc[r][c]);
    }
  }
  HB_UNROLL
  for (int r = 0; r < R; ++r)
    HB_UNROLL
    for (int c = 0; c < 4; ++c) store(scores + r * stride + c * 16, mul(acc[r][c], scale));
}

template <class T, int R = kAttentionBlock>
static void attend_scores_of(const AttentionRows& a, const AttentionBlock& block, const T* k, int64_t tile, const AttentionAhead<T>& ahead) {
  if constexpr (R > 1)
    if (block.rows < R) return attend_scores_of<T, R - 1>(a, block, k, tile, ahead);
  attend_scores<T, R>(a, block.first, k, tile, ahead);
}

/// Slots of a row's second range that it sees, in order.
template <class F>
static inline void each_own(const AttentionRows& a, int row, F&& visit) {
  const int64_t first = a.own[2 * row], last = a.own[2 * row + 1];
  if (!a.ancestors) {
    for (int64_t j = first; j < last; ++j) visit(j);
    return;
  }
  const int64_t most = last - first < 128 ? last - first : 128;
  for (int64_t start = 0; start < most; start += 32) {
    uint32_t bits = a.ancestors[4 * row + (start >> 5)];
    if (most - start < 32) bits &= (1u << (most - start)) - 1u;
    for (; bits; bits &= bits - 1) visit(first + start + __builtin_ctz(bits));
  }
}

/// What one pass over values works on: rows of a block, some vectors of columns.
struct AttentionPass {
  int row;         ///< first
  int64_t column;  ///< first
  int last;        ///< live lanes of the last vector
  float* weights;  ///< [rows, W]: the sums of the weights; null but in the pass that adds them up
  /// Tiles of the next span that blocks ask for meanwhile, as AttentionAhead: the slots of each before `fetch_end` from `fetch_first` on.
  int64_t fetch_end = 0, fetch_first = 0, fetch_step = 1;
};

/// Slots that a block takes at once: sums go through memory between spans, values come from the second-level cache within.
static constexpr int64_t kSpan = 256;

/// Adds slots [from, to) to the sums of R rows over C vectors of values, and to those of their weights. Each sum is one chain in slot
/// order; the chains run side by side, so that none waits for its last addition. They lie in plain arrays of this function: in a struct
/// the compiler stores them after every slot.
template <class T, int R, int C, bool WHOLE, bool SUM>
static inline void add_slots(const AttentionRows& a, const AttentionPass& p, int64_t from, int64_t to) {
  const int64_t between = a.score_stride, width = a.d, stride = a.v_stride, column = p.column, fetch_end = p.fetch_end, step = p.fetch_step;
  const int last = p.last;
  const float* const scores = a.scores + p.row * between;
  const void* const* const tiles = a.v;
  float* const out = a.out + p.row * width + column;
  float* const weights = p.weights;
  V acc[R][C], weight[R];
  HB_UNROLL
  for (int r = 0; r < R; ++r) {
    HB_UNROLL
    for (int c = 0; c < C; ++c) acc[r][c] = WHOLE || c + 1 < C ? load(out + r * width + c * 16) : load_n(out + r * width + c * 16, last);
    weight[r] = SUM ? load(weights + r * W) : zero();
  }
  for (int64_t j = from; j < to;) {
    const int64_t tile = j / 64, end = (tile + 1) * 64 < to ? (tile + 1) * 64 : to;
    const T* v = static_cast<const T*>(tiles[tile]) + (j & 63) * stride + column;
    const T* next = nullptr;
    int64_t fetch = end;
    if (C == 4 && tile + kSpan / 64 < fetch_end) next = static_cast<const T*>(tiles[tile + kSpan / 64]) + column, fetch = tile * 64 + p.fetch_first;
    for (; j < end; ++j, v += stride) {
      if (C == 4 && j == fetch) {
        fetch_64(next + (j & 63) * stride);
        fetch += step;
      }
      V value[C];
      HB_UNROLL
      for (int c = 0; c < C; ++c) value[c] = WHOLE || c + 1 < C ? load_as(v + c * 16) : load_as_n(v + c * 16, last);
      HB_UNROLL
      for (int r = 0; r < R; ++r) {
        const V x = set1(scores[r * between + j]);
        if (SUM) weight[r] = add(weight[r], x);
        HB_UNROLL
        for (int c = 0; c < C; ++c) acc[r][c] = mac(x, value[c], acc[r][c]);
      }
    }
  }
  HB_UNROLL
  for (int r = 0; r < R; ++r) {
    HB_UNROLL
    for (int c = 0; c < C; ++c)
      WHOLE || c + 1 < C ? store(out + r * width + c * 16, acc[r][c]) : store_n(out + r * width + c * 16, acc[r][c], last);
    if (SUM) store(weights + r * W, weight[r]);
  }
}

template <class T, int R, int C>
static void attend_span(const AttentionRows& a, const AttentionPass& p, int64_t from, int64_t to) {
  if (p.last == W)
    p.weights ? add_slots<T, R, C, true, true>(a, p, from, to) : add_slots<T, R, C, true, false>(a, p, from, to);
  else
    p.weights ? add_slots<T, R, C, false, true>(a, p, from, to) : add_slots<T, R, C, false, false>(a, p, from, to);
}

/// What a row sees beyond the slots that its block has in common, run by run.
template <class T, int C>
static void attend_rest(const AttentionRows& a, const AttentionPass& p, int64_t common) {
  int64_t from = common, to = a.visible[p.row];
  auto flush = [&] {
    if (from < to) attend_span<T, 1, C>(a, p, from, to);
  };
  flush();
  from = to;
  each_own(a, p.row, [&](int64_t j) {
    if (j != to) {
      flush();
      from = j;
    }
    to = j + 1;
  });
  flush();
}

/// What the rows of a block see of the one tree that they belong to: slot by slot, each row the slots that its bits pick.
template <class T, int C, int R = kAttentionBlock>
static void attend_tree(const AttentionRows& a, const AttentionPass& p, int rows) {
  if constexpr (R > 1)
    if (rows < R) return attend_tree<T, C, R - 1>(a, p, rows);
  const int64_t between = a.score_stride, width = a.d, first = a.own[2 * p.row];
  float* const out = a.out + p.row * width + p.column;
  uint32_t seen[R][4], any[4] = {};
  V acc[R][C], weight[R];
  for (int r = 0; r < R; ++r) {
    const int64_t slots = a.own[2 * (p.row + r) + 1] - first;
    for (int w = 0; w < 4; ++w) {
      const int64_t n = slots - 32 * w;
      seen[r][w] = n <= 0 ? 0 : a.ancestors[4 * (p.row + r) + w] & (n < 32 ? (1u << n) - 1u : ~0u);
      any[w] |= seen[r][w];
    }
    for (int c = 0; c < C; ++c) acc[r][c] = load_part(out + r * width + c * 16, c + 1 < C ? W : p.last);
    weight[r] = p.weights ? load(p.weights + r * W) : zero();
  }
  for (int w = 0; w < 4; ++w)
    for (uint32_t bits = any[w]; bits; bits &= bits - 1) {
      const int bit = __builtin_ctz(bits);
      const int64_t j = first + 32 * w + bit;
      const T* v = static_cast<const T*>(a.v[j / 64]) + (j & 63) * a.v_stride + p.column;
      V value[C];
      for (int c = 0; c < C; ++c) value[c] = load_part(v + c * 16, c + 1 < C ? W : p.last);
      HB_UNROLL
      for (int r = 0; r < R; ++r) {
        if (!(seen[r][w] >> bit & 1)) continue;
        const V x = set1(a.scores[(p.row + r) * between + j]);
        weight[r] = add(weight[r], x);
        HB_UNROLL
        for (int c = 0; c < C; ++c) acc[r][c] = mac(x, value[c], acc[r][c]);
      }
    }
  for (int r = 0; r < R; ++r) {
    for (int c = 0; c < C; ++c) store_part(out + r * width + c * 16, acc[r][c], c + 1 < C ? W : p.last);
    if (p.weights) store(p.weights + r * W, weight[r]);
  }
}

/// Are all rows of the block nodes of one tree, which begins where the slots end that they have in common?
static inline bool shares_tree(const AttentionRows& a, const AttentionBlock& b) {
  if (!a.ancestors) return false;
  for (int r = b.first; r < b.first + b.rows; ++r)
    if (a.visible[r] != b.common || a.own[2 * r] != a.own[2 * b.first]) return false;
  return true;
}

template <class T, int C, int R = kAttentionBlock>
static void attend_span_of(const AttentionRows& a, const AttentionPass& p, int rows, int64_t from, int64_t to) {
  if constexpr (R > 1)
    if (rows < R) return attend_span_of<T, C, R - 1>(a, p, rows, from, to);
  attend_span<T, R, C>(a, p, from, to);
}

/// Do all rows of the block go on with the same second range, whole?
static inline bool shares_own(const AttentionRows& a, const AttentionBlock& b) {
  if (a.ancestors) return false;
  for (int r = b.first; r < b.first + b.rows; ++r)
    if (a.visible[r] != b.common || a.own[2 * r] != a.own[2 * b.first] || a.own[2 * r + 1] != a.own[2 * b.first + 1]) return false;
  return true;
}

/// Up to 64 columns of the outputs of all rows.
template <class T, int C>
static void attend_columns(const AttentionRows& a, const AttentionBlock* blocks, int count, int64_t column, int last, float* weights) {
  for (int r = 0; r < a.rows; ++r)
    for (int c = 0; c < C; ++c) {
      float* out = a.out + r * a.d + column + c * 16;
      c + 1 < C ? store(out, zero()) : store_n(out, zero(), last);
    }
  auto pass = [&](int row) { return AttentionPass{row, column, last, column == 0 ? weights + row * W : nullptr}; };
  // slots [from, to) for the blocks of [first, end) that `limit` gives more than `from`
  auto each_span = [&](int first, int end, int64_t from, int64_t to, auto&& limit) {
    for (int64_t j = from; j < to; j = (j / kSpan + 1) * kSpan) {
      const int64_t next = (j / kSpan + 1) * kSpan;
      for (int b = first; b < end; ++b) {
        const int64_t stop = limit(b) < next ? limit(b) : next;
        if (stop <= j) continue;
        AttentionPass p = pass(blocks[b].first);
        if (end - first > 1) p.fetch_end = (to + 63) / 64, p.fetch_first = b - first, p.fetch_step = end - first;
        attend_span_of<T, C>(a, p, blocks[b].rows, j, stop);
      }
    }
  };
  int64_t most = 0;
  for (int b = 0; b < count; ++b) most = blocks[b].common > most ? blocks[b].common : most;
  each_span(0, count, 0, most, [&](int b) { return blocks[b].common; });
  for (int b = 0; b < count;) {
    const AttentionBlock& block = blocks[b];
    if (shares_tree(a, block)) {
      attend_tree<T, C>(a, pass(block.first), block.rows);
      ++b;
      continue;
    }
    if (!shares_own(a, block)) {
      for (int r = block.first; r < block.first + block.rows; ++r) attend_rest<T, C>(a, pass(r), block.common);
      ++b;
      continue;
    }
    const int64_t first = a.own[2 * block.first], end = a.own[2 * block.first + 1];
    int same = b + 1;  // blocks with the same range go on together
    while (same < count && shares_own(a, blocks[same]) && a.own[2 * blocks[same].first] == first && a.own[2 * blocks[same].first + 1] == end) ++same;
    each_span(b, same, first, end, [&](int) { return end; });
    b = same;
  }
  for (int r = 0; r < a.rows; ++r) {
    // 0: it sees nothing; any seen slot gives the largest score's 1, or NaN
    const float sum = weights[r * W];
    const V inverse = set1(sum == 0.0f ? 0.0f : 1.0f / sum);
    float* out = a.out + r * a.d + column;
    for (int c = 0; c < C; ++c) {
      if (c + 1 < C)
        store(out + c * 16, mul(load(out + c * 16), inverse));
      else
        store_n(out + c * 16, mul(load_n(out + c * 16, last), inverse), last);
    }
  }
}

/// Scores of slots [first, last) of one row become e^(s - max).
static inline void attend_exp(float* s, int64_t first, int64_t last, float max) {
  const V most = set1(max);
  int64_t j = first;
  for (; j + W <= last; j += W) store(s + j, vexp(sub(load(s + j), most)));
  const int n = static_cast<int>(last - j);
  if (n > 0) store_n(s + j, vexp(sub(load_n(s + j, n), most)), n);
}

/// Largest of `max` and the scores of slots [first, last); what is no number does not count.
static inline float range_max(const float* s, int64_t first, int64_t last, float max) {
  if (last - first < W) {
    for (int64_t j = first; j < last; ++j) max = s[j] > max ? s[j] : max;
    return max;
  }
  V most = set1(max);
  for (int64_t j = first; j + W <= last; j += W) most = vmax(load(s + j), most);
  return reduce_max(vmax(load(s + last - W), most));
}

/// Largest score that a row sees.
static inline float attend_max(const AttentionRows& a, int row) {
  const float* s = a.scores + row * a.score_stride;
  float max = range_max(s, 0, a.visible[row], -__builtin_inff());
  if (!a.ancestors) return range_max(s, a.own[2 * row], a.own[2 * row + 1], max);
  each_own(a, row, [&](int64_t j) { max = s[j] > max ? s[j] : max; });
  return max;
}

/// Cuts the rows into blocks, as equal as can be; returns how many.
static int attention_blocks(const AttentionRows& a, AttentionBlock* blocks) {
  const int count = (a.rows + kAttentionBlock - 1) / kAttentionBlock;
  for (int b = 0, row = 0; b < count; ++b) {
    AttentionBlock& block = blocks[b];
    block.first = row;
    block.rows = a.rows / count + (b < a.rows % count);
    row += block.rows;
    int64_t lead = 0, first = INT64_MAX, last = 0;
    block.common = INT64_MAX;
    for (int r = block.first; r < row; ++r) {
      lead = a.visible[r] > lead ? a.visible[r] : lead;
      block.common = a.visible[r] < block.common ? a.visible[r] : block.common;
      if (a.own[2 * r] < a.own[2 * r + 1]) {
        first = a.own[2 * r] < first ? a.own[2 * r] : first;
        last = a.own[2 * r + 1] > last ? a.own[2 * r + 1] : last;
      }
    }
    block.lead_tiles = (lead + 63) / 64;
    block.own_first = first / 64, block.own_last = (last + 63) / 64;
  }
  return count;
}

template <class T>
static void attend_as(const AttentionRows& a) {
  AttentionBlock blocks[kAttentionBlocks];
  const int count = attention_blocks(a, blocks);
  int64_t tiles = 0;
  for (int b = 0; b < count; ++b) {
    tiles = blocks[b].lead_tiles > tiles ? blocks[b].lead_tiles : tiles;
    tiles = blocks[b].own_last > tiles ? blocks[b].own_last : tiles;
  }
  for (int64_t tile = 0; tile < tiles; ++tile) {
    // worth it where several blocks go over a tile, so that there is time to wait for the next
    const T* next = count > 1 && tile + 1 < tiles ? static_cast<const T*>(a.k[tile + 1]) : nullptr;
    for (int b = 0; b < count; ++b)
      if (blocks[b].needs(tile)) attend_scores_of<T>(a, blocks[b], static_cast<const T*>(a.k[tile]), tile, {next, b, count});
  }
  for (int r = 0; r < a.rows; ++r) {
    const float max = attend_max(a, r);
    float* scores = a.scores + r * a.score_stride;
    attend_exp(scores, 0, a.visible[r], max);
    attend_exp(scores, a.own[2 * r], a.own[2 * r + 1], max);
  }
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
