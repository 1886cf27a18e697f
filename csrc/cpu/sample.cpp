#include <algorithm>
#include <cfloat>
#include <cmath>
#include <functional>

#include "core/noise.h"
#include "cpu/rows.h"

namespace hb::cpu {

namespace {

constexpr int64_t kChunk = 64;       ///< ids per stored maximum
constexpr int64_t kSegment = 8192;   ///< ids per task
constexpr int64_t kShortList = 256;  ///< first attempt to cover top_p
constexpr int64_t kLongList = 1024;  ///< top_k up to here never draws noise for the whole row
constexpr int64_t kGrowth = 16;      ///< of the list when it does not cover top_p

enum class Mode { done, draw };

struct Row {
  NoiseKey key;
  float m;       ///< largest logit
  float t;       ///< temperature
  float floor;   ///< min_p: smallest (logit - m) / t that is kept
  int64_t k;     ///< top_k, or 0 when it keeps all
  double p;      ///< top_p, or 1 when it keeps all
  double total;  ///< sum of e^((logit - m) / t), where p needs it
  Mode mode;
  bool bad;
};

struct Segment {
  float max;
  int bad;
  double mass;
  SampleBest best;
};

struct Layout {
  int64_t rows, vocabulary, segments, chunks;
  size_t row_bytes, segment_bytes, chunk_bytes, worker_bytes;
};

size_t align(int64_t bytes) { return static_cast<size_t>(round_up(bytes, 64)); }

Layout layout(const Sample& a) {
  Layout l{};
  l.rows = a.logits.dims[0], l.vocabulary = a.logits.dims[1];
  l.segments = (l.vocabulary + kSegment - 1) / kSegment;
  l.chunks = (l.vocabulary + kChunk - 1) / kChunk;
  l.row_bytes = align(l.rows * static_cast<int64_t>(sizeof(Row)));
  l.segment_bytes = align(l.rows * l.segments * static_cast<int64_t>(sizeof(Segment)));
  l.chunk_bytes = align(l.rows * l.chunks * 4);
  l.worker_bytes = 2 * align(l.vocabulary * 4);
  return l;
}

class Sampler {
 public:
  Sampler(const OpContext& cx, const Sample& a) : cx_(cx), a_(a), l_(layout(a)), n_(live_rows(a.rows, l_.rows)) {
    char* p = static_cast<char*>(cx.scratch);
    rows_ = reinterpret_cast<Row*>(p);
    segments_ = reinterpret_cast<Segment*>(p + l_.row_bytes);
    chunks_ = reinterpret_cast<float*>(p + l_.row_bytes + l_.segment_bytes);
    workers_ = p + l_.row_bytes + l_.segment_bytes + l_.chunk_bytes;
  }

  void run() {
    each_segment([](const Row&) { return true; },
                 [&](int64_t row, int64_t first, int64_t n, Segment& s) {
                   float* max = chunk_max(row) + first / kChunk;
                   s.bad = verbs(cx_).chunk_max(logits(row) + first, n, max);
                   s.max = *std::max_element(max, max + (n + kChunk - 1) / kChunk);
                 });
    for (int64_t row = 0; row < n_; ++row) prepare(row);
    each_segment([](const Row& r) { return r.mode == Mode::draw && r.p < 1 && needs_total(r); },
                 [&](int64_t row, int64_t first, int64_t n, Segment& s) {
                   int64_t count;
                   verbs(cx_).mass_above(logits(row) + first, n, rows_[row].m, rows_[row].t, -INFINITY, 1, &s.mass,
                                         &count);
                 });
    parallel_for(cx_, n_, [&](int64_t row, int worker) { try_list(row, worker); });
    each_segment([](const Row& r) { return r.mode == Mode::draw; },
                 [&](int64_t row, int64_t first, int64_t n, Segment& s) {
                   const Row& r = rows_[row];
                   verbs(cx_).gumbel_best(r.key, logits(row) + first, chunk_max(row) + first / kChunk, first, n, r.m,
                                          r.t, r.floor, s.best);
                 });
    parallel_for(cx_, n_, [&](int64_t row, int worker) {
      if (rows_[row].mode == Mode::draw) choose(row, worker);
    });
    for (int64_t row = 0; row < n_; ++row)
      if (rows_[row].bad) *cx_.flags |= kFlagNotANumber;
  }

 private:
  static bool needs_total(const Row& r) { return r.k == 0; }  // else the mass is that of the k

  const float* logits(int64_t row) const { return a_.logits.as<const float>() + row * l_.vocabulary; }
  float* chunk_max(int64_t row) const { return chunks_ + row * l_.chunks; }
  Segment* segments(int64_t row) const { return segments_ + row * l_.segments; }
  int32_t* list(int worker) const {
    return reinterpret_cast<int32_t*>(workers_ + static_cast<size_t>(worker) * l_.worker_bytes);
  }
  float* noise(int worker) const { return reinterpret_cast<float*>(list(worker)) + l_.worker_bytes / 8; }
  void put(int64_t row, int32_t id) {
    a_.token.as<int32_t>()[row] = id;
    rows_[row].mode = Mode::done;
  }

  template <class Want, class F>
  void each_segment(Want want, F&& f) {
    parallel_for(cx_, n_ * l_.segments, [&](int64_t i, int) {
      const int64_t row = i / l_.segments, first = i % l_.segments * kSegment;
      if (want(rows_[row])) f(row, first, std::min(kSegment, l_.vocabulary - first), segments_[i]);
    });
  }

  void prepare(int64_t row) {
    Row& r = rows_[row];
    r.m = -INFINITY, r.bad = false;
    for (int64_t s = 0; s < l_.segments; ++s) {
      r.m = std::max(r.m, segments(row)[s].max);
      r.bad = r.bad || segments(row)[s].bad;
    }
    r.bad = r.bad || r.m == -INFINITY;
    r.mode = Mode::draw;
    const int64_t seq = clamp_index(a_.seq.as<const int32_t>()[row], a_.temperature.dims[0]);
    r.t = a_.temperature.as<const float>()[seq];
    if (r.bad || !(r.t > 0)) return put(row, largest(row));
    r.t = std::min(r.t, FLT_MAX);
    const int32_t k = a_.top_k.as<const int32_t>()[seq];
    r.k = k > 0 && k < l_.vocabulary ? k : 0;
    const float p = a_.top_p.as<const float>()[seq], low = a_.min_p.as<const float>()[seq];
    r.p = p < 1 ? p : 1;
    r.floor = low > 0 ? static_cast<float>(std::log(std::min(static_cast<double>(low), 1.0))) : -INFINITY;
    const auto* seed = a_.seed.as<const uint32_t>() + 2 * seq;
    r.key = {{seed[0], seed[1]}, a_.position.as<const uint32_t>()[row], purpose_word(Purpose::token)};
  }

  /// Lowest id of the largest logit that is a number; 0 without one.
  int32_t largest(int64_t row) const {
    const float *max = chunk_max(row), *x = logits(row), m = rows_[row].m;
    for (int64_t c = 0; c < l_.chunks; ++c)
      if (max[c] == m)
        for (int64_t i = c * kChunk; i < std::min((c + 1) * kChunk, l_.vocabulary); ++i)
          if (x[i] == m) return static_cast<int32_t>(i);
    return 0;
  }

  /// The `want` best ids in rank order (larger logits first, lower ids first on ties; -inf left out): only chunks that
  /// can hold one are read. `complete`: there are no others.
  int64_t best_ids(int64_t row, int64_t want, int worker, bool* complete) const {
    const float *max = chunk_max(row), *x = logits(row);
    int32_t* ids = list(worker);
    float pivot = -FLT_MAX;
    if (want < l_.chunks) {  // the want-th largest chunk maximum: at least `want` logits reach it
      float* sorted = noise(worker);
      std::copy(max, max + l_.chunks, sorted);
      std::nth_element(sorted, sorted + want - 1, sorted + l_.chunks, std::greater<float>());
      pivot = std::max(pivot, sorted[want - 1]);
    }
    int64_t n = 0;
    for (int64_t c = 0; c < l_.chunks; ++c)
      if (max[c] >= pivot)
        for (int64_t i = c * kChunk; i < std::min((c + 1) * kChunk, l_.vocabulary); ++i)
          if (x[i] >= pivot) ids[n++] = static_cast<int32_t>(i);
    auto before = [x](int32_t i, int32_t j) { return x[i] > x[j] || (x[i] == x[j] && i < j); };
    *complete = pivot == -FLT_MAX && n <= want;
    if (n > want) std::nth_element(ids, ids + want, ids + n, before), n = want;
    std::sort(ids, ids + n, before);
    return n;
  }

  /// Draws among the kept ids if the best `want` ids are known to hold all of them.
  bool draw_from_list(int64_t row, int64_t want, int worker) {
    const Row& r = rows_[row];
    const float* x = logits(row);
    bool complete;
    const int64_t n = best_ids(row, want, worker, &complete);
    const int32_t* ids = list(worker);
    auto scaled = [&](int64_t i) { return (x[ids[i]] - r.m) / r.t; };
    double total = r.total;
    if (!needs_total(r)) {
      total = 0;
      for (int64_t i = 0; i < n; ++i) total += std::exp(static_cast<double>(scaled(i)));
    }
    double mass = 0;
    int64_t kept = 0;
    for (; kept < n; ++kept) {
      const float d = scaled(kept);
      if (kept > 0 && ((r.p < 1 && !(mass < r.p * total)) || d < r.floor)) break;
      mass += std::exp(static_cast<double>(d));
    }
    if (kept == n && !complete && r.k == 0) return false;
    float* g = noise(worker);
    verbs(cx_).gumbel_at(r.key, ids, kept, g);
    int32_t token = ids[0];
    float best = scaled(0) + g[0];
    for (int64_t i = 1; i < kept; ++i) {
      const float value = scaled(i) + g[i];
      if (value > best || (value == best && ids[i] < token)) best = value, token = ids[i];
    }
    put(row, token);
    return true;
  }

  void try_list(int64_t row, int worker) {
    Row& r = rows_[row];
    if (r.mode != Mode::draw) return;
    if (r.p < 1 && needs_total(r)) {
      r.total = 0;
      for (int64_t s = 0; s < l_.segments; ++s) r.total += segments(row)[s].mass;
    }
    if (r.k > 0 && (r.k <= kLongList || r.p < 1))
      draw_from_list(row, r.k, worker);
    else if (r.k == 0 && r.p < 1)
      draw_from_list(row, kShortList, worker);
  }

  /// Whether top_k and top_p keep this id.
  bool keeps(int64_t row, int32_t id) const {
    const Row& r = rows_[row];
    const float* x = logits(row);
    double lower_mass, upper_mass;
    int64_t lower, upper;
    verbs(cx_).mass_above(x, id, r.m, r.t, x[id], 1, &lower_mass, &lower);
    verbs(cx_).mass_above(x + id + 1, l_.vocabulary - id - 1, r.m, r.t, x[id], 0, &upper_mass, &upper);
    if (lower + upper == 0) return true;
    if (r.k > 0) return lower + upper < r.k;
    return lower_mass + upper_mass < r.p * r.total;
  }

  /// The winner of the whole row, or the first of the next few that the filters keep, or one of an exact list.
  void choose(int64_t row, int worker) {
    const Row& r = rows_[row];
    SampleBest merged = segments(row)[0].best;
    for (int64_t s = 1; s < l_.segments; ++s) merged = merge(merged, segments(row)[s].best);
    for (int i = 0; i < merged.count; ++i)
      if ((r.k == 0 && r.p >= 1) || keeps(row, merged.id[i])) return put(row, merged.id[i]);
    for (int64_t want = r.k > 0 ? r.k : kShortList * kGrowth;
         !draw_from_list(row, std::min(want, l_.vocabulary), worker);)
      want *= kGrowth;
  }

  /// Ids of `b` are above those of `a`.
  static SampleBest merge(const SampleBest& a, const SampleBest& b) {
    SampleBest m;
    m.count = std::min(kSampleBest, a.count + b.count);
    for (int i = 0, j = 0, k = 0; k < m.count; ++k) {
      const bool first = j == b.count || (i < a.count && a.value[i] >= b.value[j]);
      m.value[k] = first ? a.value[i] : b.value[j];
      m.id[k] = first ? a.id[i++] : b.id[j++];
    }
    return m;
  }

  const OpContext& cx_;
  const Sample& a_;
  const Layout l_;
  const int64_t n_;
  Row* rows_;
  Segment* segments_;
  float* chunks_;
  char* workers_;
};

}  // namespace

size_t sample_workspace(const Sample& a, int workers) {
  const Layout l = layout(a);
  return l.row_bytes + l.segment_bytes + l.chunk_bytes + static_cast<size_t>(workers) * l.worker_bytes;
}

Status sample_cpu(const OpContext& cx, const Sample& a) {
  flag_clamped(cx, a.seq, live_rows(a.rows, a.logits.dims[0]), a.temperature.dims[0]);
  Sampler(cx, a).run();
  return Status::success();
}

}  // namespace hb::cpu
