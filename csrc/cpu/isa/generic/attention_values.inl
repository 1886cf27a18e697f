// Second product of attention: values times weights, and the division by the weights' sum. An output is one chain over the seen keys in
// slot order.

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
