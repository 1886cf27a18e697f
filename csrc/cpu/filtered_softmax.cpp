#include <algorithm>
#include <cfloat>
#include <cmath>

#include "cpu/rows.h"

namespace hb::cpu {

namespace {

constexpr int64_t kSegment = 8192;  ///< ids per sum: that of sample, whose total decides about top_p
constexpr int64_t kList = 256;      ///< first attempt to cover top_p
constexpr int64_t kGrowth = 16;     ///< of the list when it does not cover it

struct Layout {
  size_t flag_bytes, worker_bytes;
};

Layout layout(const FilteredSoftmax& a) {
  return {static_cast<size_t>(round_up(a.logits.dims[0], 64)), static_cast<size_t>(round_up(a.logits.dims[1] * 4, 64))};
}

/// One row of logits and what may be asked of it.
class Row {
 public:
  Row(const OpContext& cx, const FilteredSoftmax& a, int64_t row, int32_t* ids)
      : cx_(cx),
        v_(a.logits.dims[1]),
        x_(a.logits.as<const float>() + row * v_),
        ids_(ids),
        m_(-INFINITY),
        bad_(false) {
    for (int64_t i = 0; i < v_; ++i) {
      m_ = x_[i] > m_ ? x_[i] : m_;
      bad_ = bad_ || !(x_[i] < INFINITY);
    }
    bad_ = bad_ || m_ == -INFINITY;
    const int64_t seq = clamp_index(a.seq.as<const int32_t>()[row], a.temperature.dims[0]);
    t_ = std::min(a.temperature.as<const float>()[seq], FLT_MAX);
    const int32_t k = a.top_k.as<const int32_t>()[seq];
    k_ = k > 0 && k < v_ ? k : 0;
    const float p = a.top_p.as<const float>()[seq], low = a.min_p.as<const float>()[seq];
    p_ = p < 1 ? p : 1;
    floor_ = low > 0 ? static_cast<float>(std::log(std::min(static_cast<double>(low), 1.0))) : -INFINITY;
  }

  bool bad() const { return bad_; }

  void write(float* out) {
    if (bad_ || !(t_ > 0)) {
      std::fill(out, out + v_, 0.0f);
      out[largest()] = 1;
    } else if (k_ == 0 && p_ >= 1) {
      double sum = 0;
      for (int64_t i = 0; i < v_; ++i)
        if (scaled(i) >= floor_) sum += weight(i);
      for (int64_t i = 0; i < v_; ++i) out[i] = scaled(i) >= floor_ ? static_cast<float>(weight(i) / sum) : 0.0f;
    } else {
      const int64_t n = ranked();
      double sum = 0;
      for (int64_t i = 0; i < n; ++i) sum += weight(ids_[i]);
      std::fill(out, out + v_, 0.0f);
      for (int64_t i = 0; i < n; ++i) out[ids_[i]] = static_cast<float>(weight(ids_[i]) / sum);
    }
  }

 private:
  float scaled(int64_t id) const { return (x_[id] - m_) / t_; }
  double weight(int64_t id) const { return std::exp(static_cast<double>(scaled(id))); }

  int64_t largest() const {
    for (int64_t i = 0; i < v_; ++i)
      if (x_[i] == m_) return i;
    return 0;
  }

  /// Puts the kept ids in rank order and returns their number.
  int64_t ranked() {
    if (k_ > 0) {
      const int64_t n = best_ids(k_);
      double total = 0;
      for (int64_t i = 0; i < n; ++i) total += weight(ids_[i]);
      return covered(n, total);
    }
    double total = 0;
    for (int64_t i = 0; i < v_; i += kSegment) {
      double mass;
      int64_t count;
      verbs(cx_).mass_above(x_ + i, std::min(kSegment, v_ - i), m_, t_, -INFINITY, 1, &mass, &count);
      total += mass;
    }
    for (int64_t want = kList;; want *= kGrowth) {
      const int64_t n = best_ids(std::min(want, v_)), kept = covered(n, total);
      if (kept < n || want >= v_) return kept;
    }
  }

  /// The `want` best ids, larger logits first, lower ids first on ties; those of -inf left out.
  int64_t best_ids(int64_t want) {
    int64_t n = 0;
    for (int64_t i = 0; i < v_; ++i)
      if (x_[i] >= -FLT_MAX) ids_[n++] = static_cast<int32_t>(i);
    auto before = [this](int32_t i, int32_t j) { return x_[i] > x_[j] || (x_[i] == x_[j] && i < j); };
    if (n > want) std::nth_element(ids_, ids_ + want, ids_ + n, before), n = want;
    std::sort(ids_, ids_ + n, before);
    return n;
  }

  /// How many of the first n ids in rank order top_p and min_p keep.
  int64_t covered(int64_t n, double total) const {
    double mass = 0;
    int64_t kept = 0;
    for (; kept < n; ++kept) {
      if (kept > 0 && ((p_ < 1 && !(mass < p_ * total)) || scaled(ids_[kept]) < floor_)) break;
      mass += weight(ids_[kept]);
    }
    return kept;
  }

  const OpContext& cx_;
  const int64_t v_;
  const float* x_;
  int32_t* ids_;
  float m_, t_, floor_;
  int64_t k_;
  double p_;
  bool bad_;
};

}  // namespace

size_t filtered_softmax_workspace(const FilteredSoftmax& a, int workers) {
  const Layout l = layout(a);
  return l.flag_bytes + static_cast<size_t>(workers) * l.worker_bytes;
}

Status filtered_softmax_cpu(const OpContext& cx, const FilteredSoftmax& a) {
  const Layout l = layout(a);
  const int64_t n = live_rows(a.rows, a.logits.dims[0]), v = a.logits.dims[1];
  char* scratch = static_cast<char*>(cx.scratch);
  flag_clamped(cx, a.seq, n, a.temperature.dims[0]);
  parallel_for(cx, n, [&](int64_t i, int worker) {
    Row row(cx, a, i,
            reinterpret_cast<int32_t*>(scratch + l.flag_bytes + static_cast<size_t>(worker) * l.worker_bytes));
    row.write(a.out.as<float>() + i * v);
    scratch[i] = row.bad();
  });
  for (int64_t i = 0; i < n; ++i)
    if (scratch[i]) *cx.flags |= kFlagNotANumber;
  return Status::success();
}

}  // namespace hb::cpu
