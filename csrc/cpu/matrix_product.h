#pragma once
#include "core/op_context.h"
#include "core/tensor.h"
#include "cpu/verbs.h"

namespace hb::cpu {

/// out = activation(x W^T + bias) + residual over `rows` rows: what linear and conv2d have in common.
struct MatrixProduct {
  int64_t rows = 0;
  int64_t k = 0;
  int64_t columns = 0;            ///< of out: weight rows, or half of them for swiglu
  TensorView weight[2], bias[2];  ///< per expert: [m, k] plain or packed, [m]; the second may be absent
  int64_t split = 0;              ///< rows at or beyond it use the second expert
  int activation = 0;             ///< enum Activation
  TensorView residual, out;       ///< [rows, columns]
  DType x_dtype = DType::f32;
  const void* x = nullptr;  ///< [rows, k], or null with `gather`
  /// Writes the k elements of one row of x, in its dtype; its rows are then staged a chunk at a time.
  void (*gather)(const void* source, int64_t row, void* target) = nullptr;
  const void* source = nullptr;
};

/// Enough scratch for any instruction set.
size_t matrix_product_workspace(const MatrixProduct& p, int workers);
void matrix_product(const OpContext& cx, const MatrixProduct& p);

}  // namespace hb::cpu
