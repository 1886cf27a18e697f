// Attention of up to four query rows over tiles of 64 slots. A score is one chain over the head dim; the row maximum is exact;
// an output is one chain over the seen keys in slot order. So a row's bits depend neither on the rows beside it, nor on where
// its keys lie, nor on the slots that it does not see: their values are never read.

template <class T, int R>
static void attend_scores(const AttentionRows& a, int64_t tile) {
  const T* k = static_cast<const T*>(a.k[tile]);
  V acc[R][4];
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < 4; ++c) acc[r][c] = zero();
  for (int64_t d = 0; d < a.d; ++d) {
    V key[4];
    for (int c = 0; c < 4; ++c) key[c] = load_as(k + d * 64 + c * 16);
    for (int r = 0; r < R; ++r) {
      const V q = set1(a.q[r * a.d + d]);
      for (int c = 0; c < 4; ++c) acc[r][c] = mac(q, key[c], acc[r][c]);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < 4; ++c) store(a.scores + r * a.score_stride + tile * 64 + c * 16, mul(acc[r][c], set1(a.scale)));
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

/// Sums of R rows over C vectors of values, and of their weights. Each is one chain in slot order; the chains run side by side, so that
/// none waits for its last addition.
template <int R, int C>
struct AttentionSums {
  V out[R][C], weight[R];
};

/// Adds slot j with the values at v to row `at` of `sums`, whose weights are at `scores`.
template <class T, int R, int C, int ROWS>
static inline void attend_slot(const float* scores, int64_t between, const T* v, int n, int at, AttentionSums<R, C>& sums) {
  V value[C];
  for (int c = 0; c < C; ++c) value[c] = c + 1 < C || n == W ? load_as(v + c * 16) : load_as_n(v + c * 16, n);
  for (int r = 0; r < ROWS; ++r) {
    const V p = set1(scores[r * between]);
    sums.weight[at + r] = add(sums.weight[at + r], p);
    for (int c = 0; c < C; ++c) sums.out[at + r][c] = mac(p, value[c], sums.out[at + r][c]);
  }
}

/// Slots [first, last) of ROWS rows from row `at` on; page by page, so that the loop over slots only steps pointers.
template <class T, int R, int C, int ROWS>
static inline void attend_values(const AttentionRows& a, int at, int64_t first, int64_t last, int64_t column, int n, AttentionSums<R, C>& sums) {
  const int64_t stride = a.v_stride, between = a.score_stride;
  const float* scores = a.scores + at * between;
  for (int64_t j = first; j < last;) {
    const int64_t end = ((j >> 6) + 1) << 6, stop = end < last ? end : last;
    const T* v = static_cast<const T*>(a.v[j >> 6]) + (j & 63) * stride + column;
    for (; j < stop; ++j, v += stride) attend_slot<T, R, C, ROWS>(scores + j, between, v, n, at, sums);
  }
}

template <class T, int R, int C>
static void attend_columns(const AttentionRows& a, int64_t column, int n) {
  AttentionSums<R, C> sums;
  for (int r = 0; r < R; ++r) {
    sums.weight[r] = zero();
    for (int c = 0; c < C; ++c) sums.out[r][c] = zero();
  }
  int64_t common = a.visible[0];
  for (int r = 1; r < R; ++r) common = a.visible[r] < common ? a.visible[r] : common;
  attend_values<T, R, C, R>(a, 0, 0, common, column, n, sums);
  int shared = 1;  // do all rows go on with the same second range?
  for (int r = 0; r < R; ++r)
    shared = shared && a.visible[r] == common && a.own[2 * r] == a.own[0] && a.own[2 * r + 1] == a.own[1] && !a.ancestors;
  if (shared) {
    attend_values<T, R, C, R>(a, 0, a.own[0], a.own[1], column, n, sums);
  } else {
    for (int r = 0; r < R; ++r) {
      AttentionSums<1, C> one;
      one.weight[0] = sums.weight[r];
      for (int c = 0; c < C; ++c) one.out[0][c] = sums.out[r][c];
      const float* scores = a.scores + r * a.score_stride;
      for (int64_t j = common; j < a.visible[r]; ++j)
        attend_slot<T, 1, C, 1>(scores + j, 0, static_cast<const T*>(a.v[j >> 6]) + (j & 63) * a.v_stride + column, n, 0, one);
      each_own(a, r, [&](int64_t j) {
        attend_slot<T, 1, C, 1>(scores + j, 0, static_cast<const T*>(a.v[j >> 6]) + (j & 63) * a.v_stride + column, n, 0, one);
      });
      sums.weight[r] = one.weight[0];
      for (int c = 0; c < C; ++c) sums.out[r][c] = one.out[0][c];
    }
  }
  for (int r = 0; r < R; ++r) {
    float sum[W];
    store(sum, sums.weight[r]);
    // 0: it sees nothing; any seen slot gives the largest score's 1, or NaN
    const V inverse = set1(sum[0] == 0.0f ? 0.0f : 1.0f / sum[0]);
    for (int c = 0; c < C; ++c) {
      const V y = mul(sums.out[r][c], inverse);
      float* out = a.out + r * a.d + column + c * 16;
      c + 1 < C ? store(out, y) : store_n(out, y, n);
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

template <class T, int R>
static void attend_rows(const AttentionRows& a) {
  int64_t lead = 0, first = INT64_MAX, last = 0;
  for (int r = 0; r < R; ++r) {
    lead = a.visible[r] > lead ? a.visible[r] : lead;
    if (a.own[2 * r] < a.own[2 * r + 1]) {
      first = a.own[2 * r] < first ? a.own[2 * r] : first;
      last = a.own[2 * r + 1] > last ? a.own[2 * r + 1] : last;
    }
  }
  const int64_t lead_tiles = (lead + 63) / 64;
  for (int64_t tile = 0; tile < lead_tiles; ++tile) attend_scores<T, R>(a, tile);
  if (first < last)
    for (int64_t tile = first / 64 > lead_tiles ? first / 64 : lead_tiles; tile < (last + 63) / 64; ++tile) attend_scores<T, R>(a, tile);
  for (int r = 0; r < R; ++r) {
    const float max = attend_max(a, r);
    float* scores = a.scores + r * a.score_stride;
    attend_exp(scores, 0, a.visible[r], max);
    attend_exp(scores, a.own[2 * r], a.own[2 * r + 1], max);
  }
  for (int64_t column = 0; column < a.d; column += 64) {
    const int64_t left = a.d - column < 64 ? a.d - column : 64;
    const int n = static_cast<int>(left - (left - 1) / 16 * 16);  // live lanes of the last vector
    switch ((left + 15) / 16) {
      case 1: attend_columns<T, R, 1>(a, column, n); break;
      case 2: attend_columns<T, R, 2>(a, column, n); break;
      case 3: attend_columns<T, R, 3>(a, column, n); break;
      default: attend_columns<T, R, 4>(a, column, n); break;
    }
  }
}

template <class T>
static void attend_as(const AttentionRows& a) {
  switch (a.rows) {
    case 1: return attend_rows<T, 1>(a);
    case 2: return attend_rows<T, 2>(a);
    case 3: return attend_rows<T, 3>(a);
    default: return attend_rows<T, 4>(a);
  }
}

static void attend(const AttentionRows& a) { return a.bf16 ? attend_as<uint16_t>(a) : attend_as<float>(a); }
