#pragma once
#include "ops/declare.h"

namespace hb {

enum class Activation : int64_t { none, gelu_tanh, silu, swiglu };

struct Linear {
  TensorView x;           // [N K]
  TensorView weight;      // [M K], plain or packed
  TensorView bias;        // [M], may be absent
  TensorView weight_gen;  // [M K], may be absent
  TensorView bias_gen;    // [M], may be absent
  TensorView residual;    // [N R], may be absent
  TensorView split;       // [1], may be absent
  TensorView rows;        // [1], may be absent
  TensorView out;         // [N R]
  int64_t activation;
  int64_t dtype;
};

inline constexpr Operand linear_operands[] = {
    HB_IN(Linear, x, kFloat, 'T', "N K", "input rows"),
    HB_WEIGHT(Linear, weight, kFloat, 'W', "M K", kRequired,
              "one row per output; for swiglu the gate rows, then the up rows"),
    HB_OPT(Linear, bias, kFloat, 'B', "M", "added before the activation"),
    HB_WEIGHT(Linear, weight_gen, kFloat, 'W', "M K", kOptional, "weight of rows at or beyond `split`"),
    HB_OPT(Linear, bias_gen, kFloat, 'B', "M", "bias of rows at or beyond `split`"),
    HB_OPT(Linear, residual, kFloat, 'O', "N R", "added after the activation"),
    HB_SPLIT(Linear),
    HB_ROWS(Linear),
    HB_OUT(Linear, out, kFloat, 'O', "N R", "R = M, or M / 2 for swiglu"),
};
inline constexpr Attribute linear_attributes[] = {
    HB_CHOICE(Linear, activation, "none|gelu_tanh|silu|swiglu", "applied to x W^T + bias"),
    HB_DTYPE(Linear, dtype, "dtype of out"),
};

inline Status linear_rules(void* args) {
  auto& a = *static_cast<Linear*>(args);
  const int64_t m = a.weight.dims[0];
  const bool swiglu = a.activation == static_cast<int64_t>(Activation::swiglu);
  if (swiglu && m % 32 != 0)
    return Status::mismatch(Code::BAD_SHAPE, "weight", "a multiple of 32 rows for swiglu", num(m) + " rows");
  set_dims(a.out, a.x.dims[0], swiglu ? m / 2 : m);
  if (a.weight_gen && a.weight_gen.layout != a.weight.layout)
    return Status::mismatch(Code::BAD_SHAPE, "weight_gen", "the layout of weight (both plain or both packed)",
                            "another");
  if (a.bias_gen && !a.weight_gen)
    return Status::mismatch(Code::BAD_SHAPE, "weight_gen", "present when bias_gen is", "absent");
  if (a.weight_gen && a.bias.present != a.bias_gen.present)
    return Status::mismatch(Code::BAD_SHAPE, "bias_gen", "bias for both experts or for none", "for one only");
  return check_experts(a.split, a.weight_gen, "weight_gen");
}

inline Cost linear_cost(const void* args) {
  auto& a = *static_cast<const Linear*>(args);
  const double n = static_cast<double>(a.x.dims[0]);
  return {2 * n * static_cast<double>(a.weight.elements()),
          bytes_of(a.x) + bytes_of(a.weight) + bytes_of(a.weight_gen) + bytes_of(a.residual) + bytes_of(a.out)};
}

inline constexpr Contract linear_contract = contract<Linear>(
    "linear", "Matrix product with a weight, with fused bias, activation, residual and two-expert routing.",
    "out = activation(x W^T + bias) + residual; swiglu: silu(x Wgate^T) * (x Wup^T); accumulation in f32, K in order",
    linear_operands, linear_attributes, linear_rules, linear_cost, "N");

}  // namespace hb
