// Guidance with renorm, and the solver's update: a warp per token. One launch when norms are those of rows; three when
// they are those of images. Bytes: every operand once, velocity twice more where there is a renorm. 4096 tokens of 64:
// 6 MB, 4 us, so launches are most of it.
#include "cuda/images.h"
#include "cuda/indices.h"
#include "cuda/kernels.h"
#include "cuda/launch.h"

namespace hb::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarpLanes;

struct Args {
  float* x;
  const float *v, *v_text, *v_image, *noise, *schedule;
  float *previous, *velocity, *denoised;
  const int32_t* step;
  Images images;
  float *squares, *factor;  // [n, 2], [n]: where norms are those of images
  int n, d, steps;
  bool of_rows, image_last;
  uint32_t* flags;
};

struct Plan {
  const float* row;
  bool guided, with_image;
};

HB_DEVICE Plan plan_of(const Args& a) {
  const float* row = a.schedule + int64_t{clamp_index(*a.step, a.steps)} * kScheduleColumns;
  return {row, a.v_text && row[kTextScale] > 1, a.v_image && row[kImageScale] > 1};
}

/// toward + scale (x - toward)
HB_DEVICE float extrapolate(float x, float toward, float scale) { return fma_rn(scale, sub_rn(x, toward), toward); }

/// |v| / (|h| + 1e-8) within [low, 1], from sums of squares.
HB_DEVICE float renorm_factor(float v, float h, float low) {
  const float ratio = div_rn(sqrt_rn(v), add_rn(sqrt_rn(h), 1e-8f)), raised = ratio < low ? low : ratio;
  return raised > 1 ? 1 : raised;
}

/// One element of the update with velocity u.
HB_DEVICE void solve(const Args& a, const float* plan, int64_t at, float u) {
  const float before = a.x[at];
  float x = fma_rn(plan[kQ], u, mul_rn(plan[kP], before));
  if (a.previous) x = fma_rn(plan[kW], a.previous[at], x), a.previous[at] = u;
  if (a.noise) x = fma_rn(plan[kR], a.noise[at], x);
  a.x[at] = x;
  a.velocity[at] = u;
  if (a.denoised) a.denoised[at] = fma_rn(-plan[kTime], u, before);
}

/// Guides a row. Norms of rows: updates it as well. Norms of images: leaves the guided velocity and the squares.
HB_KERNEL void HB_BOUNDS(kThreads, 4) guide_kernel(Args a) {
  const Plan plan = plan_of(a);
  if (block_x() == 0 && thread_x() == 0) {
    clamp_index(*a.step, a.steps, a.flags);
    if (plan.guided && !a.of_rows) a.images.check(a.flags);
  }
  const int row = static_cast<int>(block_x() * kWarps + warp()), me = static_cast<int>(lane());
  if (row >= a.n) return;
  const int64_t begin = int64_t{row} * a.d;
  if (!plan.guided) {
    for (int c = me; c < a.d; c += 32) solve(a, plan.row, begin + c, a.v[begin + c]);
    return;
  }
  const float text = plan.row[kTextScale], image = plan.row[kImageScale];
  float own = 0, other = 0;
  for (int c = me; c < a.d; c += 32) {
    const float v = a.v[begin + c];
    float h = extrapolate(v, a.v_text[begin + c], text);
    if (plan.with_image && !a.image_last) h = extrapolate(h, a.v_image[begin + c], image);
    a.velocity[begin + c] = h;
    own = fma_rn(v, v, own), other = fma_rn(h, h, other);
  }
  own = warp_sum(own), other = warp_sum(other);
  if (!a.of_rows) {
    if (me == 0) a.squares[2 * int64_t{row}] = own, a.squares[2 * int64_t{row} + 1] = other;
    return;
  }
  const float factor = renorm_factor(own, other, plan.row[kRenormMin]);
  for (int c = me; c < a.d; c += 32) {
    float u = mul_rn(a.velocity[begin + c], factor);
    if (plan.with_image && a.image_last) u = extrapolate(u, a.v_image[begin + c], image);
    solve(a, plan.row, begin + c, u);
  }
}

struct FactorSmem {
  double v[kWarps], h[kWarps];
};

HB_DEVICE double warp_sum_f64(double v) {
  HB_UNROLL
  for (int step = 16; step > 0; step /= 2) v = v + shuffle_xor(kAllLanes, v, step);
  return v;
}

/// The factor of an image, for each of its rows: a block per image, sums in an order that depends on its size alone.
HB_KERNEL void HB_BOUNDS(kThreads, 1) factor_kernel(Args a) {
  const Plan plan = plan_of(a);
  if (!plan.guided) return;
  HB_DYN_SMEM(raw);
  FactorSmem& smem = *reinterpret_cast<FactorSmem*>(raw);
  int64_t from = 0, to = a.images.end(0, 0);
  for (int j = 1; j <= static_cast<int>(block_x()); ++j) from = to, to = a.images.end(j, from);
  double v = 0, h = 0;
  for (int64_t row = from + thread_x(); row < to; row += kThreads)
    v = v + static_cast<double>(a.squares[2 * row]), h = h + static_cast<double>(a.squares[2 * row + 1]);
  v = warp_sum_f64(v), h = warp_sum_f64(h);
  if (lane() == 0) smem.v[warp()] = v, smem.h[warp()] = h;
  sync_block();
  v = 0, h = 0;
  HB_UNROLL
  for (int w = 0; w < kWarps; ++w) v = v + smem.v[w], h = h + smem.h[w];
  const double ratio = sqrt_f64(v) / (sqrt_f64(h) + 1e-8), low = static_cast<double>(plan.row[kRenormMin]);
  const double raised = ratio < low ? low : ratio;
  const float factor = static_cast<float>(raised > 1 ? 1 : raised);
  for (int64_t row = from + thread_x(); row < to; row += kThreads) a.factor[row] = factor;
}

HB_KERNEL void HB_BOUNDS(kThreads, 4) update_kernel(Args a) {
  const Plan plan = plan_of(a);
  const int row = static_cast<int>(block_x() * kWarps + warp());
  if (!plan.guided || row >= a.n) return;
  const int64_t begin = int64_t{row} * a.d;
  const float factor = a.factor[row];
  for (int c = static_cast<int>(lane()); c < a.d; c += 32)
    solve(a, plan.row, begin + c, mul_rn(a.velocity[begin + c], factor));
}

bool norms_of_images(const GuidedUpdate& a) { return a.v_text && static_cast<Renorm>(a.renorm) == Renorm::global; }

}  // namespace

size_t guided_update_workspace(const GuidedUpdate& a, int) {
  return norms_of_images(a) ? static_cast<size_t>(a.x.dims[0]) * 12 : 0;
}

Status guided_update_cuda(const OpContext& cx, const GuidedUpdate& a) {
  const auto optional = [](const TensorView& t) { return t ? t.as<float>() : nullptr; };
  const int64_t n = a.x.dims[0];
  const bool of_images = norms_of_images(a);
  float* squares = static_cast<float*>(cx.scratch);
  const Args args = {
      a.x.as<float>(),
      a.v.as<float>(),
      optional(a.v_text),
      optional(a.v_image),
      optional(a.noise),
      a.schedule.as<float>(),
      optional(a.previous),
      a.velocity.as<float>(),
      optional(a.denoised),
      a.step.as<int32_t>(),
      {a.images ? a.images.as<int32_t>() : nullptr, a.images ? static_cast<int>(a.images.dims[0]) : 0, n},
      squares,
      of_images ? squares + 2 * n : nullptr,
      static_cast<int>(n),
      static_cast<int>(a.x.dims[1]),
      static_cast<int>(a.schedule.dims[0]),
      !of_images,
      static_cast<Renorm>(a.renorm) == Renorm::text_channel,
      device(cx).flags};
  void* const stream = device(cx).stream;
  const Extent rows = {static_cast<unsigned>(n > 0 ? (n + kWarps - 1) / kWarps : 1)};
  Status status = launch(stream, guide_kernel, rows, {kThreads}, 0, args);
  if (!status.ok() || !of_images || n == 0) return status;
  const unsigned images = a.images && a.images.dims[0] > 2 ? static_cast<unsigned>(a.images.dims[0] - 1) : 1;
  status = launch(stream, factor_kernel, {images}, {kThreads}, sizeof(FactorSmem), args);
  return status.ok() ? launch(stream, update_kernel, rows, {kThreads}, 0, args) : status;
}

}  // namespace hb::cuda
