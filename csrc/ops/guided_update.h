#pragma once
#include "ops/declare.h"

namespace hb {

enum class Renorm : int64_t { global, channel, text_channel };

/// Columns of a schedule row.
enum ScheduleColumn { kTime, kP, kQ, kW, kR, kTextScale, kImageScale, kRenormMin, kScheduleColumns };

struct GuidedUpdate {
  TensorView x;         // [N C] f32
  TensorView v;         // [N C]
  TensorView v_text;    // [N C], may be absent
  TensorView v_image;   // [N C], may be absent
  TensorView previous;  // [N C], may be absent
  TensorView noise;     // [N C], may be absent
  TensorView schedule;  // [S 8]
  TensorView step;      // [1]
  TensorView images;    // [J], may be absent
  TensorView velocity;  // [N C]
  TensorView denoised;  // [N C], when asked for
  int64_t renorm;
  int64_t denoise;
};

inline constexpr Operand guided_update_operands[] = {
    HB_STATE(GuidedUpdate, x, kF32, '-', "N C", "latents, one row per token"),
    HB_IN(GuidedUpdate, v, kF32, '-', "N C", "velocity in the full context"),
    HB_OPT(GuidedUpdate, v_text, kF32, '-', "N C", "velocity without the text"),
    HB_OPT(GuidedUpdate, v_image, kF32, '-', "N C", "velocity without the image"),
    HB_STATE_OPT(GuidedUpdate, previous, kF32, '-', "N C",
                 "velocity of the row before, for solvers with a memory; this row's afterwards"),
    HB_OPT(GuidedUpdate, noise, kF32, '-', "N C", "fresh noise, for stochastic solvers"),
    HB_IN(GuidedUpdate, schedule, kF32, '-', "S 8",
          "per step: time, p, q, w, r, text scale, image scale, renorm minimum"),
    HB_IN(GuidedUpdate, step, kI32, '-', "1", "row of the schedule; clamped to [0, S)"),
    HB_OPT(GuidedUpdate, images, kI32, '-', "J", "rows where each image starts, then N; one image when absent"),
    HB_OUT(GuidedUpdate, velocity, kF32, '-', "N C", "the guided velocity"),
    HB_OUT_IF(GuidedUpdate, denoised, kF32, '-', "N C",
              "where the velocity leads: the clean latents as seen from here"),
};
inline constexpr Attribute guided_update_attributes[] = {
    HB_CHOICE(GuidedUpdate, renorm, "global|channel|text_channel",
              "how the guided velocity is brought back to the norm of v"),
    HB_INT(GuidedUpdate, denoise, 0, 1, 0, "1: also give `denoised`"),
};

inline Status guided_update_rules(void* args) {
  auto& a = *static_cast<GuidedUpdate*>(args);
  if (a.schedule.dims[0] < 1) return Status::mismatch(Code::BAD_SHAPE, "schedule", "at least one row", "none");
  a.denoised.present = a.denoise != 0;
  return Status::success();
}

inline Cost guided_update_cost(const void* args) {
  auto& a = *static_cast<const GuidedUpdate*>(args);
  return {14.0 * static_cast<double>(a.x.elements()),
          2 * bytes_of(a.x) + bytes_of(a.v) + bytes_of(a.v_text) + bytes_of(a.v_image) + 2 * bytes_of(a.previous) +
              bytes_of(a.noise) + bytes_of(a.velocity) + bytes_of(a.denoised)};
}

inline constexpr Contract guided_update_contract = contract<GuidedUpdate>(
    "guided_update", "Classifier-free guidance with renorm, and the solver's update of the latents, in one pass.",
    "text scale <= 1 or no v_text: u = v. else g = v_text + st (v - v_text); "
    "global, channel: h = v_image + si (g - v_image) if si > 1 else g; u = h clamp(|v| / (|h| + 1e-8), min, 1), norms "
    "per image or per row; "
    "text_channel: g' = g clamp(|v| / (|g| + 1e-8), min, 1) per row; u = v_image + si (g' - v_image) if si > 1 else "
    "g'. "
    "denoised = x - time u; x = p x + q u + w previous + r noise; velocity = previous = u",
    guided_update_operands, guided_update_attributes, guided_update_rules, guided_update_cost);

}  // namespace hb
