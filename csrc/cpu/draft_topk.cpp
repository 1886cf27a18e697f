#include <algorithm>
#include <cfloat>
#include <cmath>

#include "core/noise.h"
#include "cpu/rows.h"

namespace hb::cpu {

namespace {

constexpr int64_t kChunk = 64;      ///< ids per stored maximum
constexpr int64_t kSegment = 8192;  ///< ids per task

/// The best children of one row among some ids: larger scores first, lower ids first among equals.
struct Best {
  int64_t count;
  float score[kDraftBranch];
  int32_t id[kDraftBranch];
};

/// What one row finds in one segment.
struct Segment {
  float max;  ///< of the logits
  int bad;
  float top;    ///< of the scores
  double mass;  ///< sum of e^((score - top) / beta)
  Best best;
};

struct Row {
  float m;  ///< largest logit
  float t;  ///< temperature, 0: no noise
  int64_t seq;
  bool bad;
};

struct Layout {
  int64_t rows, vocabulary, segments;
  size_t row_bytes, segment_bytes, noise_bytes, worker_bytes;
};

size_t align(int64_t bytes) { return static_cast<size_t>(round_up(bytes, 64)); }

Layout layout(const DraftTopk& a) {
  Layout l{};
  l.rows = a.logits.dims[0], l.vocabulary = a.logits.dims[1];
  l.segments = (l.vocabulary + kSegment - 1) / kSegment;
  l.row_bytes = align(l.rows * static_cast<int64_t>(sizeof(Row)));
  l.segment_bytes = align(l.rows * l.segments * static_cast<int64_t>(sizeof(Segment)));
  l.noise_bytes = align(a.temperature.dims[0] * l.vocabulary * 4);
  l.worker_bytes = align((kSegment + kSegment / kChunk) * 4);
  return l;
}

void insert(Best& best, int64_t k, float score, int32_t id) {
  int64_t i = best.count < k ? best.count++ : k - 1;
  for (; i > 0 && best.score[i - 1] < score; --i) best.score[i] = best.score[i - 1], best.id[i] = best.id[i - 1];
  best.score[i] = score, best.id[i] = id;
}

class Drafter {
 public:
  Drafter(const OpContext& cx, const DraftTopk& a) : cx_(cx), a_(a), l_(layout(a)), n_(live_rows(a.rows, l_.rows)) {
    char* p = static_cast<char*>(cx.scratch);
    rows_ = reinterpret_cast<Row*>(p);
    segments_ = reinterpret_cast<Segment*>(p += l_.row_bytes);
    noise_ = reinterpret_cast<float*>(p += l_.segment_bytes);
    workers_ = p + l_.noise_bytes;
  }

  void run() {
    flag_clamped(cx_, a_.seq, n_, sequences());
    each_segment([&](int64_t row, int64_t first, int64_t n, Segment& s, float* scores) {
      s.bad = verbs(cx_).chunk_max(logits(row) + first, n, scores);
      s.max = *std::max_element(scores, scores + (n + kChunk - 1) / kChunk);
    });
    for (int64_t row = 0; row < n_; ++row) prepare(row);
    draw_noise();
    each_segment([&](int64_t row, int64_t first, int64_t n, Segment& s, float* scores) {
      if (!rows_[row].bad) rank(row, first, n, s, scores);
    });
    for (int64_t row = 0; row < n_; ++row) put(row);
  }

 private:
  int64_t sequences() const { return a_.temperature.dims[0]; }
  const float* logits(int64_t row) const { return a_.logits.as<const float>() + row * l_.vocabulary; }
  float beta(const Row& r) const { return r.t > 0 ? static_cast<float>(a_.beta) : 1.0f; }

  template <class F>
  void each_segment(F&& f) {
    parallel_for(cx_, n_ * l_.segments, [&](int64_t i, int worker) {
      const int64_t first = i % l_.segments * kSegment;
      f(i / l_.segments, first, std::min(kSegment, l_.vocabulary - first), segments_[i],
        reinterpret_cast<float*>(workers_ + static_cast<size_t>(worker) * l_.worker_bytes));
    });
  }

  void prepare(int64_t row) {
    Row& r = rows_[row];
    r.m = -INFINITY, r.bad = false;
    for (int64_t s = row * l_.segments; s < (row + 1) * l_.segments; ++s) {
      r.m = std::max(r.m, segments_[s].max);
      r.bad = r.bad || segments_[s].bad;
    }
    r.bad = r.bad || r.m == -INFINITY;
    if (r.bad) *cx_.flags |= kFlagNotANumber;
    r.seq = clamp_index(a_.seq.as<const int32_t>()[row], sequences());
    const float t = a_.temperature.as<const float>()[r.seq];
    r.t = t > 0 ? std::min(t, FLT_MAX) : 0;
  }

  /// G of every id, once per sequence that has a row with noise: all rows of a call have the same depth.
  void draw_noise() {
    parallel_for(cx_, sequences() * l_.segments, [&](int64_t i, int) {
      const int64_t seq = i / l_.segments, first = i % l_.segments * kSegment;
      if (std::none_of(rows_, rows_ + n_, [seq](const Row& r) { return r.seq == seq && r.t > 0 && !r.bad; })) return;
      const int64_t n = std::min(kSegment, l_.vocabulary - first);
      const auto* seed = a_.seed.as<const uint32_t>() + 2 * seq;
      const NoiseKey key = {{seed[0], seed[1]},
                            a_.output.as<const uint32_t>()[seq] + static_cast<uint32_t>(a_.depth),
                            purpose_word(Purpose::token)};
      int32_t ids[kChunk];
      for (int64_t c = 0; c < n; c += kChunk) {
        const int64_t count = std::min(kChunk, n - c);
        for (int64_t j = 0; j < count; ++j)
          ids[j] = a_.ids ? a_.ids.as<const int32_t>()[first + c + j] : static_cast<int32_t>(first + c + j);
        verbs(cx_).gumbel_at(key, ids, count, noise_ + seq * l_.vocabulary + first + c);
      }
    });
  }

  void rank(int64_t row, int64_t first, int64_t n, Segment& s, float* scores) {
    const Row& r = rows_[row];
    const float *x = logits(row) + first, *g = noise_ + r.seq * l_.vocabulary + first;
    const int32_t* ids = a_.ids ? a_.ids.as<const int32_t>() + first : nullptr;
    float* max = scores + kSegment;
    for (int64_t i = 0; i < n; ++i) {
      const bool drafted = !ids || ids[i] >= 0;
      const float d = x[i] - r.m;
      scores[i] = !drafted ? -INFINITY : r.t > 0 ? d / r.t + g[i] : d;
    }
    verbs(cx_).chunk_max(scores, n, max);
    s.top = *std::max_element(max, max + (n + kChunk - 1) / kChunk);
    s.mass = 0, s.best.count = 0;
    if (s.top == -INFINITY) return;
    int64_t counted;
    verbs(cx_).mass_above(scores, n, s.top, beta(r), -INFINITY, 1, &s.mass, &counted);
    for (int64_t c = 0; c < n; c += kChunk) {
      if (!(max[c / kChunk] > bar(s.best))) continue;
      for (int64_t i = c; i < std::min(c + kChunk, n); ++i)
        if (scores[i] > bar(s.best)) insert(s.best, a_.k, scores[i], static_cast<int32_t>(first + i));
    }
  }

  /// A score must be above it to be among the best.
  float bar(const Best& best) const { return best.count < a_.k ? -INFINITY : best.score[a_.k - 1]; }

  void put(int64_t row) {
    const Row& r = rows_[row];
    auto* token = a_.token.as<int32_t>() + row * a_.k;
    float* value = a_.value.as<float>() + row * a_.k;
    Best best;
    best.count = 0;
    double mass = 0, top = -INFINITY;
    if (!r.bad) {
      const Segment* s = segments_ + row * l_.segments;
      for (int64_t i = 0; i < l_.segments; ++i) top = std::max(top, static_cast<double>(s[i].top));
      for (int64_t i = 0; i < l_.segments; ++i) {
        if (s[i].best.count == 0) continue;
        mass += s[i].mass * std::exp((static_cast<double>(s[i].top) - top) / static_cast<double>(beta(r)));
        for (int64_t j = 0; j < s[i].best.count; ++j)
          if (s[i].best.score[j] > bar(best)) insert(best, a_.k, s[i].best.score[j], s[i].best.id[j]);
      }
    }
    for (int64_t i = 0; i < a_.k; ++i) {
      token[i] = -1, value[i] = -INFINITY;
      if (i >= best.count) continue;
      token[i] = a_.ids ? a_.ids.as<const int32_t>()[best.id[i]] : best.id[i];
      const double v = (static_cast<double>(best.score[i]) - top) / static_cast<double>(beta(r)) - std::log(mass);
      value[i] = std::max(-FLT_MAX, std::min(0.0f, static_cast<float>(v)));
    }
  }

  const OpContext& cx_;
  const DraftTopk& a_;
  const Layout l_;
  const int64_t n_;
  Row* rows_;
  Segment* segments_;
  float* noise_;
  char* workers_;
};

}  // namespace

size_t draft_topk_workspace(const DraftTopk& a, int workers) {
  const Layout l = layout(a);
  return l.row_bytes + l.segment_bytes + l.noise_bytes + static_cast<size_t>(workers) * l.worker_bytes;
}

Status draft_topk_cpu(const OpContext& cx, const DraftTopk& a) {
  Drafter(cx, a).run();
  return Status::success();
}

}  // namespace hb::cpu
