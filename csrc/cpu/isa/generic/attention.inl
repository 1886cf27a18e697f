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

static inline int sees(const AttentionRows& a, int row, int64_t slot) {
  if (!a.ancestors) return 1;
  const int64_t bit = slot - a.own[2 * row];
  return bit < 128 && (a.ancestors[4 * row + (bit >> 5)] >> (bit & 31) & 1u);
}

/// Adds p * v of slots [first, last) to R x C accumulators; `masked` rows check each slot. Page by page, so that the loop over slots
/// only steps pointers.
template <class T, int R, int C>
static inline void attend_values(const AttentionRows& a, int row, int64_t first, int64_t last, int masked, int64_t column, int n, V (&acc)[R][C]) {
  const int64_t stride = a.v_stride, between = a.score_stride;
  const float* scores = a.scores + row * between;
  for (int64_t j = first; j < last;) {
    const int64_t end = ((j >> 6) + 1) << 6, stop = end < last ? end : last;
    const T* v = static_cast<const T*>(a.v[j >> 6]) + (j & 63) * stride + column;
    for (; j < stop; ++j, v += stride) {
      if (masked && !sees(a, row, j)) continue;
      V value[C];
      for (int c = 0; c < C; ++c) value[c] = c + 1 < C || n == W ? load_as(v + c * 16) : load_as_n(v + c * 16, n);
      for (int r = 0; r < R; ++r) {
        const V p = set1(scores[r * between + j]);
        for (int c = 0; c < C; ++c) acc[r][c] = mac(p, value[c], acc[r][c]);
      }
    }
  }
}

template <class T, int R, int C>
static void attend_columns(const AttentionRows& a, const float* inverse, int64_t column, int n) {
  V acc[R][C];
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < C; ++c) acc[r][c] = zero();
  int64_t common = a.visible[0];
  for (int r = 1; r < R; ++r) common = a.visible[r] < common ? a.visible[r] : common;
  attend_values<T, R, C>(a, 0, 0, common, 0, column, n, acc);
  int shared = 1;  // do all rows go on with the same second range?
  for (int r = 0; r < R; ++r)
    shared = shared && a.visible[r] == common && a.own[2 * r] == a.own[0] && a.own[2 * r + 1] == a.own[1] && !a.ancestors;
  if (shared) {
    attend_values<T, R, C>(a, 0, a.own[0], a.own[1], 0, column, n, acc);
  } else {
    for (int r = 0; r < R; ++r) {
      V one[1][C];
      for (int c = 0; c < C; ++c) one[0][c] = acc[r][c];
      attend_values<T, 1, C>(a, r, common, a.visible[r], 0, column, n, one);
      attend_values<T, 1, C>(a, r, a.own[2 * r], a.own[2 * r + 1], 1, column, n, one);
      for (int c = 0; c < C; ++c) acc[r][c] = one[0][c];
    }
  }
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < C; ++c) {
      const V y = mul(acc[r][c], set1(inverse[r]));
      float* out = a.out + r * a.d + column + c * 16;
      c + 1 < C ? store(out, y) : store_n(out, y, n);
    }
}

/// Scores of slots [first, last) of one row become e^(s - max).
static inline void attend_exp(float* s, int64_t first, int64_t last, float max) {
  for (int64_t j = first; j < last; j += W) {
    const int n = last - j < W ? static_cast<int>(last - j) : W;
    store_n(s + j, vexp(sub(load_n(s + j, n), set1(max))), n);
  }
}

/// Weights of R rows and their running sums, each one chain in slot order: side by side, so that no sum waits for its last addition.
template <int R>
static inline void attend_weights(const AttentionRows& a, const float* max, float* sum) {
  int64_t common = a.visible[0];
  for (int r = 0; r < R; ++r) {
    float* s = a.scores + r * a.score_stride;
    attend_exp(s, 0, a.visible[r], max[r]);
    attend_exp(s, a.own[2 * r], a.own[2 * r + 1], max[r]);
    common = a.visible[r] < common ? a.visible[r] : common;
  }
  float chain[R];
  for (int r = 0; r < R; ++r) chain[r] = 0.0f;
  for (int64_t j = 0; j < common; ++j)
    for (int r = 0; r < R; ++r) chain[r] += a.scores[r * a.score_stride + j];
  for (int r = 0; r < R; ++r) {
    const float* s = a.scores + r * a.score_stride;
    for (int64_t j = common; j < a.visible[r]; ++j) chain[r] += s[j];
    for (int64_t j = a.own[2 * r]; j < a.own[2 * r + 1]; ++j)
      if (sees(a, r, j)) chain[r] += s[j];
    sum[r] = chain[r];
  }
}

/// Largest score of slots [first, last) of one row; what is no number does not count.
static inline float attend_max(const AttentionRows& a, int row, int64_t first, int64_t last, int masked, float max) {
  const float* s = a.scores + row * a.score_stride;
  int64_t j = first;
  if (!masked) {
    V most = set1(max);
    for (; j + W <= last; j += W) most = vmax(load(s + j), most);
    max = reduce_max(most);
  }
  for (; j < last; ++j)
    if (!masked || sees(a, row, j)) max = s[j] > max ? s[j] : max;
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
  float inverse[R], max[R], sum[R];
  for (int r = 0; r < R; ++r) {
    const float seen = attend_max(a, r, 0, a.visible[r], 0, -__builtin_inff());
    max[r] = attend_max(a, r, a.own[2 * r], a.own[2 * r + 1], a.ancestors != nullptr, seen);
  }
  attend_weights<R>(a, max, sum);
  for (int r = 0; r < R; ++r)
    inverse[r] = sum[r] == 0.0f ? 0.0f : 1.0f / sum[r];  // 0: it sees nothing; any seen slot gives the largest score's 1, or NaN
  for (int64_t column = 0; column < a.d; column += 64) {
    const int64_t left = a.d - column < 64 ? a.d - column : 64;
    const int n = static_cast<int>(left - (left - 1) / 16 * 16);  // live lanes of the last vector
    switch ((left + 15) / 16) {
      case 1: attend_columns<T, R, 1>(a, inverse, column, n); break;
      case 2: attend_columns<T, R, 2>(a, inverse, column, n); break;
      case 3: attend_columns<T, R, 3>(a, inverse, column, n); break;
      default: attend_columns<T, R, 4>(a, inverse, column, n); break;
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
