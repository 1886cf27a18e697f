// linear. One row of the 7B model reads a weight once: 3584 x 3584 bf16 are 25.7 MB, 8.6 us at 3 TB/s, whatever the
// rows up to some 200; 4096 rows of gate and up are 1.1 TFLOP, 1.6 ms at 700 TFLOP/s.
#include "cuda/product/fma_tile.h"
#include "cuda/product/mma_tile.h"

namespace hb::cuda {

namespace {

/// Rows of x as they lie.
struct MatrixRows {
  template <class S, int kThreads>
  struct Source : MatrixSource<S, kThreads> {
    HB_DEVICE void begin(const MatrixRows&, const Product& p, const Place& at) {
      MatrixSource<S, kThreads>::begin(p.x, at.row, p.k, p.k);
    }
  };
};

const void* data_of(const TensorView& t) { return t ? t.data : nullptr; }

Product product_of(const Linear& a) {
  Product p{};
  p.x = a.x.data;
  p.weight[0] = a.weight.data, p.weight[1] = data_of(a.weight_gen);
  p.bias[0] = data_of(a.bias), p.bias[1] = data_of(a.bias_gen);
  p.rows = a.rows ? a.rows.as<int32_t>() : nullptr;
  p.split = a.split ? a.split.as<int32_t>() : nullptr;
  p.residual = data_of(a.residual);
  p.out = a.out.data;
  p.n = static_cast<int>(a.x.dims[0]);
  p.k = static_cast<int>(a.x.dims[1]);
  p.columns = static_cast<int>(a.out.dims[1]);
  p.weight_stride = stride_of(a.weight);
  p.activation = static_cast<int>(a.activation);
  p.bias_bf16 = a.bias && is_bf16(a.bias);
  p.out_bf16 = is_bf16(a.out);
  p.wide_out = p.columns % 8 == 0 && aligned16(a.out, a.residual);
  return p;
}

template <class X, class W>
Status launch_fma(const OpContext& cx, const Product& p, bool wide) {
  constexpr MatrixRows rows;
  if (!wide) return launch_product<Fma64x64<X, W>, false>(cx, p, rows);
  if (p.n <= 8) return launch_product<Fma32x8<X, W>, true>(cx, p, rows);
  if constexpr (sizeof(X) + sizeof(W) == 8) {
    if (tiles_of<Fma128x128>(p) >= device(cx).multiprocessors) return launch_product<Fma128x128, true>(cx, p, rows);
  }
  return launch_product<Fma64x64<X, W>, true>(cx, p, rows);
}

/// The tile changes with the rows that there may be and with what keeps all multiprocessors busy; the bits do not.
Status launch_mma(const OpContext& cx, const Product& p, bool wide) {
  constexpr MatrixRows rows;
  if (!wide) return launch_product<MmaNarrow, false>(cx, p, rows);
  if (p.n <= 8) return launch_product<Mma16x8, true>(cx, p, rows);
  if (p.n <= 16) return launch_product<Mma32x16, true>(cx, p, rows);
  if (p.n <= 32) return launch_product<Mma32x32, true>(cx, p, rows);
  if (p.n > 64 && tiles_of<Mma128x128>(p) >= device(cx).multiprocessors)
    return launch_product<Mma128x128, true>(cx, p, rows);
  return launch_product<Mma64x64, true>(cx, p, rows);
}

}  // namespace

const char* linear_limit(const Linear& a) {
  return sizes_fit(a.x.dims[0], a.weight.dims[0], stride_of(a.weight)) ? nullptr : kTooLarge;
}

Status linear_cuda(const OpContext& cx, const Linear& a) {
  const Product p = product_of(a);
  if (p.n == 0 || p.columns == 0) return Status::success();
  const bool both = is_bf16(a.x) && is_bf16(a.weight), either = is_bf16(a.x) || is_bf16(a.weight);
  const int chunk = either ? 8 : 4;
  const bool wide = p.k % chunk == 0 && aligned16(a.x, a.weight, a.weight_gen);
  if (both) return launch_mma(cx, p, wide);
  return with_types(a.x, a.weight, [&](auto* x, auto* w) {
    using X = std::remove_reference_t<decltype(*x)>;
    using W = std::remove_reference_t<decltype(*w)>;
    if constexpr (sizeof(X) + sizeof(W) > 4) return launch_fma<X, W>(cx, p, wide);
    return Status::success();  // both bf16: above
  });
}

}  // namespace hb::cuda
