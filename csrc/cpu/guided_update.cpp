#include <algorithm>
#include <cmath>

#include "cpu/rows.h"

namespace hb::cpu {

namespace {

/// Rows where image `j` begins and ends: in order, the first from row 0 on, the last up to row n.
class Images {
 public:
  Images(const TensorView& starts, int64_t n) : starts_(starts), n_(n) {}
  int64_t count() const { return starts_ ? std::max<int64_t>(starts_.dims[0] - 1, 1) : 1; }
  /// End of image j, which begins at `from`.
  int64_t end(int64_t j, int64_t from, bool* clamped) const {
    if (j + 1 == count()) {
      *clamped = *clamped || (starts_ && (starts_.dims[0] < 2 || start(j + 1) != n_));
      return n_;
    }
    const int64_t asked = start(j + 1), given = std::clamp(asked, from, n_);
    *clamped = *clamped || asked != given;
    return given;
  }
  int64_t start(int64_t j) const { return starts_.as<const int32_t>()[j]; }

 private:
  const TensorView& starts_;
  int64_t n_;
};

}  // namespace

size_t guided_update_workspace(const GuidedUpdate& a, int) {
  return static_cast<size_t>(round_up(a.x.dims[0] * 12, 64));  // two sums of squares and a factor per row
}

Status guided_update_cpu(const OpContext& cx, const GuidedUpdate& a) {
  const int64_t n = a.x.dims[0], d = a.x.dims[1];
  flag_clamped(cx, a.step, 1, a.schedule.dims[0]);
  const float* plan =
      a.schedule.as<const float>() + clamp_index(*a.step.as<const int32_t>(), a.schedule.dims[0]) * kScheduleColumns;
  const bool guided = a.v_text && plan[kTextScale] > 1, with_image = a.v_image && plan[kImageScale] > 1;
  const Renorm renorm = static_cast<Renorm>(a.renorm);
  const bool global = guided && renorm == Renorm::global;
  float* squares = static_cast<float*>(cx.scratch);
  float* factor = squares + 2 * n;
  auto row_of = [d](const TensorView& t, int64_t row) { return t ? t.as<float>() + row * d : nullptr; };

  auto guide = [&](int64_t row) {
    verbs(cx).guide_row({row_of(a.v, row), row_of(a.v_text, row), with_image ? row_of(a.v_image, row) : nullptr,
                         row_of(a.velocity, row), global ? squares + 2 * row : nullptr, d, plan[kTextScale],
                         plan[kImageScale], plan[kRenormMin], renorm == Renorm::text_channel});
  };
  auto update = [&](int64_t row) {
    verbs(cx).solver_row({guided ? row_of(a.velocity, row) : row_of(a.v, row), row_of(a.previous, row),
                          row_of(a.noise, row), row_of(a.x, row), row_of(a.velocity, row), d,
                          global ? factor[row] : 1.0f, plan[kP], plan[kQ], plan[kW], plan[kR]});
  };

  if (global) {  // the factor of an image needs all of its rows first
    each_row(cx, n, d * 16, guide);
    const Images images(a.images, n);
    bool clamped = a.images && a.images.dims[0] > 0 && images.start(0) != 0;
    for (int64_t j = 0, from = 0; j < images.count(); ++j) {
      const int64_t to = images.end(j, from, &clamped);
      double v = 0, h = 0;
      for (int64_t row = from; row < to; ++row) v += squares[2 * row], h += squares[2 * row + 1];
      const double ratio = std::sqrt(v) / (std::sqrt(h) + 1e-8);
      const double low = plan[kRenormMin];
      std::fill(factor + from, factor + to, static_cast<float>(std::min(std::max(ratio, low), 1.0)));
      from = to;
    }
    if (clamped) *cx.flags |= kFlagIndexClamped;
    each_row(cx, n, d * 16, update);
  } else {
    each_row(cx, n, d * 16, [&](int64_t row) {
      if (guided) guide(row);
      update(row);
    });
  }
  return Status::success();
}

}  // namespace hb::cpu
