// Attention of up to kAttentionRows query rows over tiles of 64 slots, in blocks of four rows that take turns at a tile while it is
// in the first-level cache. A score is one chain over the head dim; the row maximum is exact; an output is one chain over the seen
// keys in slot order. So a row's bits depend neither on the rows beside it, nor on where its keys lie, nor on the slots that it does
// not see: their values are never used.

/// Rows of `a` that share registers, and what they see.
struct AttentionBlock {
  int first, rows;
  int64_t common;              ///< every row sees slots before it
  int64_t lead_tiles;          ///< tiles that hold slots of the first range of some row
  int64_t own_first, own_last; ///< tiles of the second range of some row
  bool needs(int64_t tile) const { return tile < lead_tiles || (tile >= own_first && tile < own_last); }
};

/// Asks for row `at` of 64 elements of a tile that is worked on next; it may be anywhere in memory, so that the processor does not guess it.
template <class T>
static inline void fetch_64(const T* next, int64_t at) {
  for (int c = 0; c < 64; c += static_cast<int>(64 / sizeof(T))) __builtin_prefetch(next + at + c, 0, 3);
}

/// Scores of R rows from `first` on with the keys of one tile; `next`, if any, are the keys of the next tile.
template <class T, int R>
static void attend_scores(const AttentionRows& a, int first, const T* k, int64_t tile, const T* next) {
  const float* const q = a.q + first * a.d;
  float* const scores = a.scores + first * a.score_stride + tile * 64;
  const int64_t width = a.d, stride = a.score_stride;
  const V scale = set1(a.scale);
  V acc[R][4];
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < 4; ++c) acc[r][c] = zero();
  for (int64_t d = 0; d < width; ++d) {
    V key[4];
    for (int c = 0; c < 4; ++c) key[c] = load_as(k + d * 64 + c * 16);
    if (next) fetch_64(next, d * 64);
    for (int r = 0; r < R; ++r) {
      const V x = set1(q[r * width + d]);
      for (int c = 0; c < 4; ++c) acc[r][c] = mac(x, key[c], acc[r][c]);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < 4; ++c) store(scores + r * stride + c * 16, mul(acc[r][c], scale));
}

template <class T>
static void attend_scores_of(const AttentionRows& a, const AttentionBlock& block, const T* k, int64_t tile, const T* next) {
  switch (block.rows) {
    case 1: return attend_scores<T, 1>(a, block.first, k, tile, next);
    case 2: return attend_scores<T, 2>(a, block.first, k, tile, next);
    case 3: return attend_scores<T, 3>(a, block.first, k, tile, next);
    default: return attend_scores<T, 4>(a, block.first, k, tile, next);
  }
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
};

/// Adds slots to the sums of R rows over C vectors of values, and to those of their weights. Scores begin at `scores`, values at v,
/// `stride` apart. Each sum is one chain in slot order; the chains run side by side, so that none waits for its last addition.
/// They lie in plain arrays of this function: in a struct the compiler stores them after every slot. `next`, if any, are the values
/// that come after these.
template <class T, int R, int C, bool WHOLE, bool SUM>
static inline void add_slots(const AttentionRows& a, const AttentionPass& p, const float* scores, const T* v, int64_t stride, int64_t count, const T* next = nullptr) {
  const int64_t between = a.score_stride, width = a.d;
  const int last = p.last;
  float* const out = a.out + p.row * width + p.column;
  float* const weights = p.weights;
  V acc[R][C], weight[R];
  for (int r = 0; r < R; ++r) {
    for (int c = 0; c < C; ++c) acc[r][c] = WHOLE || c + 1 < C ? load(out + r * width + c * 16) : load_n(out + r * width + c * 16, last);
    weight[r] = SUM ? load(weights + r * W) : zero();
  }
  for (int64_t j = 0; j < count; ++j, v += stride) {
    if (C == 4 && next) fetch_64(next, j * stride);
    V value[C];
    for (int c = 0; c < C; ++c) value[c] = WHOLE || c + 1 < C ? load_as(v + c * 16) : load_as_n(v + c * 16, last);
    for (int r = 0; r < R; ++r) {
      const V x = set1(scores[r * between + j]);
      if (SUM) weight[r] = add(weight[r], x);
      for (int c = 0; c < C; ++c) acc[r][c] = mac(x, value[c], acc[r][c]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int c = 0; c < C; ++c)
      WHOLE || c + 1 < C ? store(out + r * width + c * 16, acc[r][c]) : store_n(out + r * width + c * 16, acc[r][c], last);
    if (SUM) store(weights + r * W, weight[r]);
  }
}

/// Slots [from, from + count) of one tile, values at v, for R rows.
template <class T, int R, int C>
static void attend_tile(const AttentionRows& a, const AttentionPass& p, int64_t from, int64_t count, const T* v, int64_t stride, const T* next = nullptr) {
  const float* scores = a.scores + p.row * a.score_stride + from;
  if (p.last == W)
    p.weights ? add_slots<T, R, C, true, true>(a, p, scores, v, stride, count, next) : add_slots<T, R, C, true, false>(a, p, scores, v, stride, count, next);
  else
    p.weights ? add_slots<T, R, C, false, true>(a, p, scores, v, stride, count, next) : add_slots<T, R, C, false, false>(a, p, scores, v, stride, count, next);
}

/// What a row sees beyond the slots that its block has in common, run by run.
template <class T, int C>
static void attend_rest(const AttentionRows& a, const AttentionPass& p, int64_t common) {
  int64_t from = common, to = common;
  auto flush = [&] {
    while (from < to) {
      const int64_t end = ((from >> 6) + 1) << 6, stop = end < to ? end : to;
      attend_tile<T, 1, C>(a, p, from, stop - from, static_cast<const T*>(a.v[from >> 6]) + (from & 63) * a.v_stride + p.column, a.v_stride);
      from = stop;
    }
  };
  to = a.visible[p.row];
  flush();
  each_own(a, p.row, [&](int64_t j) {
    if (j != to) {
      flush();
      from = j;
    }
    to = j + 1;
  });
  flush();
}

template <class T, int C>
static void attend_tile_of(const AttentionRows& a, const AttentionPass& p, int rows, int64_t from, int64_t count, const T* v, int64_t stride, const T* next = nullptr) {
  switch (rows) {
    case 1: return attend_tile<T, 1, C>(a, p, from, count, v, stride, next);
    case 2: return attend_tile<T, 2, C>(a, p, from, count, v, stride, next);
    case 3: return attend_tile<T, 3, C>(a, p, from, count, v, stride, next);
    default: return attend_tile<T, 4, C>(a, p, from, count, v, stride, next);
  }
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
  auto each_tile = [&](int first, int end, int64_t from, int64_t to, auto&& limit) {
    for (int64_t j = from; j < to; j = (j / 64 + 1) * 64) {
      const int64_t next = (j / 64 + 1) * 64;
      const T* v = static_cast<const T*>(a.v[j / 64]) + (j & 63) * a.v_stride + column;
      for (int b = first; b < end; ++b) {
        const int64_t stop = limit(b) < next ? limit(b) : next;
        if (stop <= j) continue;
        const bool fetch = b == first && end - first > 1 && next < to;
        attend_tile_of<T, C>(a, pass(blocks[b].first), blocks[b].rows, j, stop - j, v, a.v_stride,
                             fetch ? static_cast<const T*>(a.v[next / 64]) + column : nullptr);
      }
    }
  };
  int64_t most = 0;
  for (int b = 0; b < count; ++b) most = blocks[b].common > most ? blocks[b].common : most;
  each_tile(0, count, 0, most, [&](int b) { return blocks[b].common; });
  for (int b = 0; b < count;) {
    const AttentionBlock& block = blocks[b];
    if (!shares_own(a, block)) {
      for (int r = block.first; r < block.first + block.rows; ++r) attend_rest<T, C>(a, pass(r), block.common);
      ++b;
      continue;
    }
    const int64_t first = a.own[2 * block.first], end = a.own[2 * block.first + 1];
    int same = b + 1;  // blocks with the same range go on together
    while (same < count && shares_own(a, blocks[same]) && a.own[2 * blocks[same].first] == first && a.own[2 * blocks[same].first + 1] == end) ++same;
    each_tile(b, same, first, end, [&](int) { return end; });
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
  for (int64_t j = first; j < last; j += W) {
    const int n = last - j < W ? static_cast<int>(last - j) : W;
    store_n(s + j, vexp(sub(load_n(s + j, n), set1(max))), n);
  }
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
  const int count = (a.rows + 3) / 4;
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
  AttentionBlock blocks[(kAttentionRows + 3) / 4];
  const int count = attention_blocks(a, blocks);
  int64_t tiles = 0;
  for (int b = 0; b < count; ++b) {
    tiles = blocks[b].lead_tiles > tiles ? blocks[b].lead_tiles : tiles;
    tiles = blocks[b].own_last > tiles ? blocks[b].own_last : tiles;
  }
  for (int64_t tile = 0; tile < tiles; ++tile) {
    // worth it where several blocks go over a tile, so that the first has time to ask for the next
    const T* next = count > 1 && tile + 1 < tiles ? static_cast<const T*>(a.k[tile + 1]) : nullptr;
    for (int b = 0; b < count; ++b)
      if (blocks[b].needs(tile)) attend_scores_of<T>(a, blocks[b], static_cast<const T*>(a.k[tile]), tile, b == 0 ? next : nullptr);
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
