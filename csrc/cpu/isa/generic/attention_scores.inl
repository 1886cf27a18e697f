// First product of attention: scores of rows with tiles of 64 keys, and the largest of each row. A score is one chain over the head
// dim, of its pairs where bf16 is multiplied in pairs. It is scaled so that weights are 2 to its power: by way of the queries, or
// where the chain multiplies pairs, at its end.

/// A tile of keys as a block of rows takes it.
template <class T>
struct AttentionTile {
  const T* k;         ///< [d, 64]
  int64_t slot;       ///< of its first key
  float* most;        ///< [rows of the call, W]: largest score so far of each lane; null where some row does not see the whole tile
  /// The tile that is worked on next may be anywhere in memory, so that the processor does not guess it. Each of the blocks that take
  /// turns at a tile asks for its share of the next one: requests of the first block alone would be more than memory answers in that time.
  const T* next;      ///< null: there is none
  int fetch_first;    ///< row of 64 elements of `next` that is asked for first
  int fetch_step;     ///< blocks: every so many rows are asked for
};

template <class T>
static inline void fetch_64(const T* p) {
  for (int c = 0; c < 64; c += static_cast<int>(64 / sizeof(T))) __builtin_prefetch(p + c, 0, 3);
}

/// Writes and compares the scores of R rows with 16 C keys.
template <class T, int R, int C>
static inline void keep_scores(const AttentionRows& a, int first, const AttentionTile<T>& t, const V (&acc)[R][C]) {
  float* const scores = a.scores + first * a.score_stride + t.slot;
  HB_UNROLL
  for (int r = 0; r < R; ++r) {
    HB_UNROLL
    for (int c = 0; c < C; ++c) store(scores + r * a.score_stride + c * 16, acc[r][c]);
    if (!t.most) continue;
    float* const most = t.most + (first + r) * W;
    V largest = load(most);
    HB_UNROLL
    for (int c = 0; c < C; ++c) largest = vmax(acc[r][c], largest);
    store(most, largest);
  }
}

#ifdef HB_DOT_PAIRS
/// Chains of pairs of the head dim, the last one's second half 0 if d is odd.
template <int R, int C>
static void attend_scores_dot(const AttentionRows& a, int first, const AttentionTile<uint16_t>& t) {
  static const uint16_t none[64] = {};
  const int64_t pairs = (a.d + 1) / 2, whole = a.d / 2, step = t.fetch_step;
  const uint16_t* const q = a.q_pairs + first * 2 * pairs;
  const uint16_t *const k = t.k, *const next = t.next;
  int64_t fetch = next ? t.fetch_first : pairs;
  V acc[R][C];
  HB_UNROLL
  for (int r = 0; r < R; ++r)
    HB_UNROLL
    for (int c = 0; c < C; ++c) acc[r][c] = zero();
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
      for (int c = 0; c < C; ++c) acc[r][c] = dot_pairs(acc[r][c], x, key[c]);
    }
  }
  const V scale = set1(a.scale * kLog2E);
  HB_UNROLL
  for (int r = 0; r < R; ++r)
    HB_UNROLL
    for (int c = 0; c < C; ++c) acc[r][c] = mul(acc[r][c], scale);
  keep_scores(a, first, t, acc);
}
#endif

/// Scales queries so that weights are 2 to the power of their scores.
template <class T>
static void scale_queries(const AttentionRows& a) {
#ifdef HB_DOT_PAIRS
  if constexpr (sizeof(T) == 2) return;  // the pairs are multiplied as they are
#endif
  const V scale = set1(a.scale * kLog2E);
  const int64_t n = a.rows * a.d;
  for (int64_t i = 0; i < n; i += W) {
    const int m = n - i < W ? static_cast<int>(n - i) : W;
    store_part(a.q + i, mul(load_part(a.q + i, m), scale), m);
  }
}

/// Scores of R rows from `first` on with the first 16 C keys of one tile.
template <class T, int R, int C>
static void attend_scores(const AttentionRows& a, int first, const AttentionTile<T>& t) {
#ifdef HB_DOT_PAIRS
  if constexpr (sizeof(T) == 2) return attend_scores_dot<R, C>(a, first, t);
#endif
  const float* const q = a.q + first * a.d;
  const int64_t width = a.d, step = t.fetch_step;
  const T *const k = t.k, *const next = t.next;
  int64_t fetch = next ? t.fetch_first : width;
  V acc[R][C];
  HB_UNROLL
  for (int r = 0; r < R; ++r)
    HB_UNROLL
    for (int c = 0; c < C; ++c) acc[r][c] = zero();
  for (int64_t d = 0; d < width; ++d) {
    V key[C];
    HB_UNROLL
    for (int c = 0; c < C; ++c) key[c] = load_as(k + d * 64 + c * 16);
    if (d == fetch) {
      fetch_64(next + d * 64);
      fetch += step;
    }
    HB_UNROLL
    for (int r = 0; r < R; ++r) {
      const V x = set1(q[r * width + d]);
      HB_UNROLL
      for (int c = 0; c < C; ++c) acc[r][c] = mac(x, key[c], acc[r][c]);
    }
  }
  keep_scores(a, first, t, acc);
}

/// Scores of a block: of its rows with the first `keys` keys of a tile. Half a tile is worth a function of its own: the last tile of a
/// short context is all there is to save.
template <class T, int R = kAttentionBlock>
static void attend_scores_of(const AttentionRows& a, const AttentionBlock& block, const AttentionTile<T>& tile, int64_t keys) {
  if constexpr (R > 1)
    if (block.rows < R) return attend_scores_of<T, R - 1>(a, block, tile, keys);
  keys <= 32 ? attend_scores<T, R, 2>(a, block.first, tile) : attend_scores<T, R, 4>(a, block.first, tile);
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

/// Largest score that a row sees, given the largest of each lane among the slots before `from`.
static inline float attend_max(const AttentionRows& a, int row, const float* most, int64_t from) {
  const float* s = a.scores + row * a.score_stride;
  float max = range_max(s, from, a.visible[row], reduce_max(load(most + row * W)));
  if (!a.ancestors) return range_max(s, a.own[2 * row], a.own[2 * row + 1], max);
  each_ancestor(a, row, [&](int64_t j) { max = s[j] > max ? s[j] : max; });
  return max;
}

/// Scores of slots [first, last) of one row become 2^(s - max).
static inline void attend_exp(float* s, int64_t first, int64_t last, float max) {
  const V most = set1(max);
  int64_t j = first;
  for (; j + W <= last; j += W) store(s + j, vexp2_weight(sub(load(s + j), most)));
  const int n = static_cast<int>(last - j);
  if (n > 0) store_n(s + j, vexp2_weight(sub(load_n(s + j, n), most)), n);
}

/// What the rows weigh the values of the slots they see with, in place of their scores.
template <class T>
static void attend_weights(const AttentionRows& a, const AttentionBlock* blocks, int count) {
  scale_queries<T>(a);
  float most[kAttentionRows * W];
  for (int r = 0; r < a.rows; ++r) store(most + r * W, set1(-__builtin_inff()));
  int64_t tiles = 0;
  for (int b = 0; b < count; ++b) tiles = blocks[b].tiles() > tiles ? blocks[b].tiles() : tiles;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    // worth it where several blocks go over a tile, so that there is time to wait for the next
    const T* next = count > 1 && tile + 1 < tiles ? static_cast<const T*>(a.k[tile + 1]) : nullptr;
    for (int b = 0; b < count; ++b) {
      const int64_t keys = blocks[b].keys_of(tile);
      if (keys <= 0) continue;
      float* compared = (tile + 1) * 64 <= blocks[b].common ? most : nullptr;
      attend_scores_of<T>(a, blocks[b], {static_cast<const T*>(a.k[tile]), tile * 64, compared, next, b, count}, keys);
    }
  }
  for (int b = 0; b < count; ++b)
    for (int r = blocks[b].first; r < blocks[b].first + blocks[b].rows; ++r) {
      const float max = attend_max(a, r, most, blocks[b].common / 64 * 64);
      float* scores = a.scores + r * a.score_stride;
      attend_exp(scores, 0, a.visible[r], max);
      attend_exp(scores, a.own[2 * r], own_end(a, r), max);
    }
}
