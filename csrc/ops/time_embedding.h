#pragma once
#include "ops/declare.h"

namespace hb {

struct TimeEmbedding {
  TensorView times;  // [S C] f32
  TensorView step;   // [B]
  TensorView out;    // [B R]
  int64_t dim;
  int64_t column;
  int64_t dtype;
};

inline constexpr Operand time_embedding_operands[] = {
    HB_IN(TimeEmbedding, times, kF32, 'T', "S C",
          "a column holds the times, in [0, 1], or other numbers: a schedule, or [S 1]"),
    HB_IN(TimeEmbedding, step, kI32, '-', "B", "row of `times` per output row; clamped to [0, S)"),
    HB_OUT(TimeEmbedding, out, kFloat, 'O', "B R", "cosines, then sines"),
};
inline constexpr Attribute time_embedding_attributes[] = {
    HB_INT(TimeEmbedding, dim, 2, 65536, 256, "R, even"),
    HB_INT(TimeEmbedding, column, 0, 1e6, 0, "of `times`, below C"),
    HB_DTYPE(TimeEmbedding, dtype, "dtype of out"),
};

inline Status time_embedding_rules(void* args) {
  auto& a = *static_cast<TimeEmbedding*>(args);
  if (a.dim % 2) return Status::mismatch(Code::BAD_OPTION, "dim", "an even number", num(a.dim));
  if (a.times.dims[1] < 1 || a.times.dims[0] < 1)
    return Status::mismatch(Code::BAD_SHAPE, "times", "at least one row and one column", "none");
  if (a.column >= a.times.dims[1])
    return Status::mismatch(Code::BAD_OPTION, "column", "below " + num(a.times.dims[1]), num(a.column));
  set_dims(a.out, a.step.dims[0], a.dim);
  return Status::success();
}

inline Cost time_embedding_cost(const void* args) {
  auto& a = *static_cast<const TimeEmbedding*>(args);
  return {20.0 * static_cast<double>(a.out.elements()), bytes_of(a.out)};
}

inline constexpr Contract time_embedding_contract = contract<TimeEmbedding>(
    "time_embedding", "Sinusoidal embedding of a diffusion time or of a guidance scale, unscaled.",
    "a_i = t * f32(exp(-ln(10000) i / (dim/2))) in f32, i = 0 .. dim/2 - 1; out = [cos a | sin a]",
    time_embedding_operands, time_embedding_attributes, time_embedding_rules, time_embedding_cost);

}  // namespace hb
