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

/// What a row sees of the tree that it belongs to: few slots, here and there.
template <class T, int C>
static void attend_tree(const AttentionRows& a, const AttentionPass& p) {
  float* const out = a.out + p.row * a.d + p.column;
  const float* const scores = a.scores + p.row * a.score_stride;
  auto live = [&](int c) { return c + 1 < C ? W : p.last; };
  V acc[C], weight = zero();
  for (int c = 0; c < C; ++c) acc[c] = load_part(out + c * 16, live(c));
  if (p.weights) weight = load(p.weights);
  each_ancestor(a, p.row, [&](int64_t j) {
    const T* v = static_cast<const T*>(a.v[j / 64]) + (j & 63) * a.v_stride + p.column;
    const V x = set1(scores[j]);
    weight = add(weight, x);
    for (int c = 0; c < C; ++c) acc[c] = mac(x, load_part(v + c * 16, live(c)), acc[c]);
  });
  for (int c = 0; c < C; ++c) store_part(out + c * 16, acc[c], live(c));
  if (p.weights) store(p.weights, weight);
}

/// What a row sees beyond the slots that its block has in common.
template <class T, int C>
static void attend_rest(const AttentionRows& a, const AttentionPass& p, int64_t common) {
  const int64_t* const own = a.own + 2 * p.row;
  if (common < a.visible[p.row]) attend_span<T, 1, C>(a, p, common, a.visible[p.row]);
  if (a.ancestors)
    attend_tree<T, C>(a, p);
  else if (own[0] < own[1])
    attend_span<T, 1, C>(a, p, own[0], own[1]);
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
