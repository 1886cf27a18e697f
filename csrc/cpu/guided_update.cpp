#include <algorithm>
#include <cmath>

#include "cpu/images.h"
#include "cpu/rows.h"

namespace hb::cpu {

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
                          row_of(a.noise, row), row_of(a.x, row), row_of(a.velocity, row), row_of(a.denoised, row), d,
                          global ? factor[row] : 1.0f, plan[kTime], plan[kP], plan[kQ], plan[kW], plan[kR]});
  };

  if (global) {  // the factor of an image needs all of its rows first
    each_row(cx, n, d * 16, guide);
    const Images images(a.images, n);
    bool clamped = images.begins_elsewhere();
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
