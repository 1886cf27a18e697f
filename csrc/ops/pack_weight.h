#pragma once
#include "ops/declare.h"

namespace hb {

struct PackWeight {
  TensorView weight;  // [M K]
  TensorView second;  // [M2 K], may be absent
  TensorView third;   // [M3 K], may be absent
  TensorView out;     // [R K] packed
};

inline constexpr Operand pack_weight_operands[] = {
    HB_IN(PackWeight, weight, kFloat, 'T', "M K", "weight, one row per output"),
    HB_OPT(PackWeight, second, kFloat, 'T', "M2 K", "rows appended after it"),
    HB_OPT(PackWeight, third, kFloat, 'T', "M3 K", "rows appended after those"),
    HB_OUT(PackWeight, out, kFloat, 'T', "R K", "the same matrix in the packed layout"),
};

inline Status pack_weight_rules(void* args) {
  auto& a = *static_cast<PackWeight*>(args);
  if (a.third && !a.second) return Status::mismatch(Code::BAD_SHAPE, "second", "present when third is", "absent");
  set_dims(a.out, a.weight.dims[0] + (a.second ? a.second.dims[0] : 0) + (a.third ? a.third.dims[0] : 0),
           a.weight.dims[1]);
  a.out.layout = Layout::packed;
  return Status::success();
}

inline Cost pack_weight_cost(const void* args) {
  auto& a = *static_cast<const PackWeight*>(args);
  return {0, 2 * bytes_of(a.out)};
}

inline constexpr Contract pack_weight_contract = contract<PackWeight>(
    "pack_weight", "Concatenates weights by rows and brings them into the backend's packed layout.",
    "out = pack([weight; second; third])", pack_weight_operands, pack_weight_rules, pack_weight_cost);

}  // namespace hb
