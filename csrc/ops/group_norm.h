#pragma once
#include "ops/declare.h"

namespace hb {

struct GroupNorm {
  TensorView x;       // [H W C]
  TensorView weight;  // [C]
  TensorView bias;    // [C]
  TensorView out;     // [H W C]
  int64_t groups;
  double eps;
  int64_t activation;
};

inline constexpr Operand group_norm_operands[] = {
    HB_IN(GroupNorm, x, kFloat, 'T', "H W C", "image, channels last"),
    HB_IN(GroupNorm, weight, kFloat, 'W', "C", "scale"),
    HB_IN(GroupNorm, bias, kFloat, 'W', "C", "shift"),
    HB_OUT(GroupNorm, out, kFloat, 'T', "H W C", "normalised image"),
};
inline constexpr Attribute group_norm_attributes[] = {
    HB_INT(GroupNorm, groups, 1, 65536, 32, "groups of neighbouring channels"),
    HB_REAL(GroupNorm, eps, 0, 1, 1e-6, "added to the variance"),
    HB_CHOICE(GroupNorm, activation, "none|swish", "applied last; swish(x) = x * sigmoid(x)"),
};

inline Status group_norm_rules(void* args) {
  auto& a = *static_cast<GroupNorm*>(args);
  if (a.x.dims[2] % a.groups)
    return Status::mismatch(Code::BAD_SHAPE, "x", "a multiple of " + num(a.groups) + " channels", num(a.x.dims[2]));
  return Status::success();
}

inline Cost group_norm_cost(const void* args) {
  auto& a = *static_cast<const GroupNorm*>(args);
  return {12.0 * static_cast<double>(a.x.elements()), 2 * bytes_of(a.x) + bytes_of(a.out)};
}

inline constexpr Contract group_norm_contract =
    contract<GroupNorm>("group_norm", "Group norm of one channels-last image, with an optional fused swish.",
                        "per group: y = (x - mean) / sqrt(var + eps) * weight + bias; out = y or y * sigmoid(y)",
                        group_norm_operands, group_norm_attributes, group_norm_rules, group_norm_cost);

}  // namespace hb
