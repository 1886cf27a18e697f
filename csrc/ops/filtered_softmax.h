#pragma once
#include "ops/declare.h"

namespace hb {

struct FilteredSoftmax {
  TensorView logits;       // [N V] f32
  TensorView seq;          // [N]
  TensorView temperature;  // [B]
  TensorView top_k;        // [B]
  TensorView top_p;        // [B]
  TensorView min_p;        // [B]
  TensorView rows;         // [1], may be absent
  TensorView out;          // [N V] f32
};

inline constexpr Operand filtered_softmax_operands[] = {
    HB_IN(FilteredSoftmax, logits, kF32, '-', "N V", "scores"),
    HB_IN(FilteredSoftmax, seq, kI32, '-', "N", "sequence of each row, whose settings it takes; clamped to [0, B)"),
    HB_IN(FilteredSoftmax, temperature, kF32, '-', "B", "as in sample: 0 (or less, or NaN) puts all on the largest"),
    HB_IN(FilteredSoftmax, top_k, kI32, '-', "B", "as in sample"),
    HB_IN(FilteredSoftmax, top_p, kF32, '-', "B", "as in sample"),
    HB_IN(FilteredSoftmax, min_p, kF32, '-', "B", "as in sample"),
    HB_ROWS(FilteredSoftmax),
    HB_OUT(FilteredSoftmax, out, kF32, '-', "N V", "probabilities; 0 for ids that the filters drop"),
};

inline Status filtered_softmax_rules(void* args) {
  auto& a = *static_cast<FilteredSoftmax*>(args);
  if (a.logits.dims[1] < 1) return Status::mismatch(Code::BAD_SHAPE, "logits", "at least one column", "none");
  if (a.temperature.dims[0] < 1 && a.logits.dims[0] > 0)
    return Status::mismatch(Code::BAD_SHAPE, "temperature", "at least one sequence", "none");
  return Status::success();
}

inline Cost filtered_softmax_cost(const void* args) {
  auto& a = *static_cast<const FilteredSoftmax*>(args);
  return {30.0 * static_cast<double>(a.logits.elements()), bytes_of(a.logits) + bytes_of(a.out)};
}

inline constexpr Contract filtered_softmax_contract = on_cpu_only(
    contract<FilteredSoftmax>(
        "filtered_softmax", "The law that sample draws from: probabilities after temperature, top-k, top-p and min-p.",
        "out = e^((logit - largest logit) / temperature) over the kept ids, divided by its sum. "
        "A row with NaN or +inf, or of -inf only, sets the not-a-number flag; all of it goes to "
        "the lowest id of its largest number (0 without one)",
        filtered_softmax_operands, filtered_softmax_rules, filtered_softmax_cost, "N"),
    "it serves classic_verify");

}  // namespace hb
