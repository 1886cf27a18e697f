#include "cpu/kernels.h"
#include "cpu/matrix_product.h"

namespace hb::cpu {

namespace {

MatrixProduct product_of(const Linear& a, int64_t rows) {
  MatrixProduct p;
  p.rows = rows;
  p.k = a.x.dims[1];
  p.columns = a.out.dims[1];
  p.weight[0] = a.weight, p.weight[1] = a.weight_gen;
  p.bias[0] = a.bias, p.bias[1] = a.bias_gen;
  p.split = a.split ? split_row(a.split, rows) : rows;
  p.activation = static_cast<int>(a.activation);
  p.residual = a.residual, p.out = a.out;
  p.x_dtype = a.x.dtype;
  p.x = a.x.data;
  return p;
}

}  // namespace

size_t linear_workspace(const Linear& a, int workers) {
  // counts live on the device and may change from run to run: room for every row, whichever expert it goes to
  MatrixProduct p = product_of(
      {a.x, a.weight, a.bias, a.weight_gen, a.bias_gen, a.residual, {}, {}, a.out, a.activation, a.dtype}, a.x.dims[0]);
  return matrix_product_workspace(p, workers);
}

Status linear_cpu(const OpContext& cx, const Linear& a) {
  matrix_product(cx, product_of(a, live_rows(a.rows, a.x.dims[0])));
  return Status::success();
}

}  // namespace hb::cpu
