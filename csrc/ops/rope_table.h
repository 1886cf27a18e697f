#pragma once
#include "ops/declare.h"

namespace hb {

struct RopeTable {
  TensorView positions;  // [N]
  TensorView rows;       // [1], may be absent
  TensorView out;        // [N D] f32
  int64_t dim;
  double theta;
};

inline constexpr Operand rope_table_operands[] = {
    HB_IN(RopeTable, positions, kI32, '-', "N", "position id per row"),
    HB_ROWS(RopeTable),
    HB_OUT(RopeTable, out, kF32, '-', "N R", "cos of the dim/2 angles, then their sin"),
};
inline constexpr Attribute rope_table_attributes[] = {
    HB_INT(RopeTable, dim, 2, 1024, kNone, "head size, even"),
    HB_REAL(RopeTable, theta, 1, 1e12, kNone, "base of the frequencies"),
};

inline Status rope_table_rules(void* args) {
  auto& a = *static_cast<RopeTable*>(args);
  if (a.dim % 2) return Status::mismatch(Code::BAD_OPTION, "dim", "an even number", num(a.dim));
  set_dims(a.out, a.positions.dims[0], a.dim);
  return Status::success();
}

inline Cost rope_table_cost(const void* args) {
  auto& a = *static_cast<const RopeTable*>(args);
  return {20.0 * static_cast<double>(a.out.elements()), bytes_of(a.out)};
}

inline constexpr Contract rope_table_contract =
    contract<RopeTable>("rope_table", "Cosines and sines of rotary positions, shared by all layers of a step.",
                        "a_i = f32(position) * f32(theta^(-2i/dim)); out = [cos a | sin a]", rope_table_operands,
                        rope_table_attributes, rope_table_rules, rope_table_cost, "N");

}  // namespace hb
