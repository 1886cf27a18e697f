#pragma once
#include "ops/declare.h"

namespace hb {

struct Sample {
  TensorView logits;       // [N V] f32
  TensorView seq;          // [N]
  TensorView temperature;  // [B]
  TensorView top_k;        // [B]
  TensorView top_p;        // [B]
  TensorView min_p;        // [B]
  TensorView seed;         // [B 2]
  TensorView position;     // [N]
  TensorView rows;         // [1], may be absent
  TensorView token;        // [N]
};

inline constexpr Operand sample_operands[] = {
    HB_IN(Sample, logits, kF32, '-', "N V", "scores"),
    HB_IN(Sample, seq, kI32, '-', "N", "sequence of each row, whose settings it takes; clamped to [0, B)"),
    HB_IN(Sample, temperature, kF32, '-', "B", "0 (or less, or NaN): the largest logit, lowest id on ties"),
    HB_IN(Sample, top_k, kI32, '-', "B", "keep the k largest logits, lower ids first on ties; 0 or less: all"),
    HB_IN(Sample, top_p, kF32, '-', "B",
          "then keep tokens, best first, while the mass before them (of what top-k left, at this temperature) is below "
          "p; the best always stays; 1 or more, or NaN: all"),
    HB_IN(Sample, min_p, kF32, '-', "B",
          "then keep tokens of at least this share of the largest probability; 0 or less, or NaN: all; more than 1 "
          "acts as 1"),
    HB_IN(Sample, seed, kI32, '-', "B 2", "low and high half of the 64-bit seed"),
    HB_IN(Sample, position, kI32, '-', "N", "index of the token in the answer"),
    HB_ROWS(Sample),
    HB_OUT(Sample, token, kI32, '-', "N", "chosen ids"),
};

inline Status sample_rules(void* args) {
  auto& a = *static_cast<Sample*>(args);
  if (a.logits.dims[1] < 1) return Status::mismatch(Code::BAD_SHAPE, "logits", "at least one column", "none");
  if (a.temperature.dims[0] < 1 && a.logits.dims[0] > 0)
    return Status::mismatch(Code::BAD_SHAPE, "temperature", "at least one sequence", "none");
  return Status::success();
}

inline Cost sample_cost(const void* args) {
  auto& a = *static_cast<const Sample*>(args);
  return {30.0 * static_cast<double>(a.logits.elements()), bytes_of(a.logits)};
}

inline constexpr Contract sample_contract =
    contract<Sample>("sample", "Picks a token per row: greedy, or sampled by position-keyed Gumbel noise.",
                     "token = argmax over kept ids of (logit - largest logit) / temperature + G(seed, position, id), G "
                     "= -log(-log U), U = (w + 0.5) 2^-32, "
                     "w = word id % 4 of Philox4x32-10, key = seed, counter = (id / 4, position, purpose token << 24, "
                     "0); lowest id on ties. "
                     "A row with NaN or +inf, or of -inf only, sets the not-a-number flag and gives the lowest id of "
                     "its largest number (0 without one)",
                     sample_operands, sample_rules, sample_cost, "N");

}  // namespace hb
