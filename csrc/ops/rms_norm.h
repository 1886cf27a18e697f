#pragma once
#include "ops/declare.h"

namespace hb {

/// The pattern op: small, complete. Read this one first.
struct RmsNorm {
  TensorView x;           // [N D]
  TensorView residual;    // [N D], may be absent
  TensorView weight;      // [D]
  TensorView weight_gen;  // [D], may be absent
  TensorView split;       // [1], may be absent
  TensorView rows;        // [1], may be absent
  TensorView out;         // [N D]
  TensorView sum;         // [N D]
  double eps;
};

inline constexpr Operand rms_norm_operands[] = {
    HB_IN(RmsNorm, x, kFloat, 'T', "N D", "rows to normalise"),
    HB_OPT(RmsNorm, residual, kFloat, 'T', "N D", "added to x before normalising"),
    HB_IN(RmsNorm, weight, kFloat, 'W', "D", "scale"),
    HB_OPT(RmsNorm, weight_gen, kFloat, 'W', "D", "scale of rows at or beyond `split`"),
    HB_SPLIT(RmsNorm),
    HB_ROWS(RmsNorm),
    HB_OUT(RmsNorm, out, kFloat, 'T', "N D", "normalised rows"),
    HB_OUT_IF(RmsNorm, sum, kFloat, 'T', "N D", "x + residual, rounded to the dtype of x; only with a residual"),
};
inline constexpr Attribute rms_norm_attributes[] = {
    HB_REAL(RmsNorm, eps, 0, 1, 1e-6, "added to the mean of squares"),
};

inline Status rms_norm_rules(void* args) {
  auto& a = *static_cast<RmsNorm*>(args);
  a.sum.present = a.residual.present;
  return check_experts(a.split, a.weight_gen, "weight_gen");
}

inline Cost rms_norm_cost(const void* args) {
  auto& a = *static_cast<const RmsNorm*>(args);
  return {4.0 * static_cast<double>(a.x.elements()),
          bytes_of(a.x) + bytes_of(a.residual) + bytes_of(a.weight) + bytes_of(a.out) + bytes_of(a.sum)};
}

inline constexpr Contract rms_norm_contract =
    contract<RmsNorm>("rms_norm", "Root-mean-square norm of each row, with an optional fused residual add.",
                      "h = x + residual; out = h / sqrt(mean(h^2) + eps) * weight", rms_norm_operands,
                      rms_norm_attributes, rms_norm_rules, rms_norm_cost, "N");

}  // namespace hb
