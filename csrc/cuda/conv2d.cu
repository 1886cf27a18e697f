// conv2d as a matrix product whose rows are the patches of output pixels, gathered on the way to shared memory: nothing
// is unfolded in memory. The autoencoder of the 7B model takes 10 TFLOP at 1024 x 1024, in f32: 0.2 s at 50 TFLOP/s.
#include "cuda/product/fma_tile.h"
#include "cuda/product/mma_tile.h"

namespace hb::cuda {

namespace {

struct Shape {
  int height, width, channels, kernel, stride, pad, across;  ///< across: output pixels of a row
};

/// Rows of a product: patches of an image with channels last, zeros outside of it.
struct ImageRows {
  Shape shape;

  template <class S, int kThreads>
  struct Source {
    using T = typename S::Element;
    static constexpr int kNowhere = 0x20000000;  ///< beyond any image, above or below
    const T* image;
    Shape shape;
    int k;
    int top[Share<S, kThreads>::kPasses], left[Share<S, kThreads>::kPasses];  ///< of the patches
    int down, right, channel;                                                 ///< of the current column

    HB_DEVICE void begin(const ImageRows& rows, const Product& p, const Place&) {
      image = static_cast<const T*>(p.x), shape = rows.shape, k = p.k;
    }
    HB_DEVICE void set(int pass, int pixel, bool there) {
      top[pass] = there ? pixel / shape.across * shape.stride - shape.pad : -2 * kNowhere;
      left[pass] = pixel % shape.across * shape.stride - shape.pad;
    }
    HB_DEVICE void move_to(int column) {
      const int place = column / shape.channels;
      channel = column % shape.channels;
      down = column < k ? place / shape.kernel : kNowhere;
      right = place % shape.kernel;
    }
    HB_DEVICE const T* at(int pass) const {
      const int y = top[pass] + down, x = left[pass] + right;
      if (y < 0 || y >= shape.height || x < 0 || x >= shape.width) return nullptr;
      return image + (static_cast<int64_t>(y) * shape.width + x) * shape.channels + channel;
    }
  };
};

struct Call {
  Product p;
  ImageRows rows;
  bool wide;
};

Call call_of(const Conv2d& a) {
  Call c{};
  Product& p = c.p;
  p.x = a.x.data;
  p.weight[0] = a.weight.data, p.bias[0] = a.bias.data;
  p.residual = a.residual ? a.residual.data : nullptr;
  p.out = a.out.data;
  p.n = static_cast<int>(a.out.dims[0] * a.out.dims[1]);
  p.k = static_cast<int>(a.weight.dims[1]);
  p.columns = static_cast<int>(a.out.dims[2]);
  p.weight_stride = stride_of(a.weight);
  p.bias_bf16 = is_bf16(a.bias), p.out_bf16 = is_bf16(a.out);
  p.wide_out = p.columns % 8 == 0 && aligned16(a.out, a.residual);
  c.rows.shape = {static_cast<int>(a.x.dims[0]),  static_cast<int>(a.x.dims[1]), static_cast<int>(a.x.dims[2]),
                  static_cast<int>(a.kernel),     static_cast<int>(a.stride),    static_cast<int>(a.pad_begin),
                  static_cast<int>(a.out.dims[1])};
  const int chunk = is_bf16(a.x) || is_bf16(a.weight) ? 8 : 4;
  c.wide = a.x.dims[2] % chunk == 0 && aligned16(a.x, a.weight);
  return c;
}

template <class X, class W>
Status launch_fma(const OpContext& cx, const Call& c) {
  if constexpr (sizeof(X) + sizeof(W) == 8) {
    if (c.wide && c.p.columns <= 8) return launch_product<Fma8x128, true>(cx, c.p, c.rows);
    if (c.wide && tiles_of<Fma128x128>(c.p) >= device(cx).multiprocessors)
      return launch_product<Fma128x128, true>(cx, c.p, c.rows);
  }
  if (c.wide) return launch_product<Fma64x64<X, W>, true>(cx, c.p, c.rows);
  return launch_product<Fma64x64<X, W>, false>(cx, c.p, c.rows);
}

Status launch_mma(const OpContext& cx, const Call& c) {
  if (!c.wide) return launch_product<MmaNarrow, false>(cx, c.p, c.rows);
  if (tiles_of<Mma128x128>(c.p) >= device(cx).multiprocessors) return launch_product<Mma128x128, true>(cx, c.p, c.rows);
  return launch_product<Mma64x64, true>(cx, c.p, c.rows);
}

}  // namespace

const char* conv2d_limit(const Conv2d& a) {
  constexpr int64_t kSide = 1 << 24;  // of an image: positions within its padding stay far from the integers' ends
  if (a.x.dims[0] >= kSide || a.x.dims[1] >= kSide || a.x.dims[2] >= kSide) return kTooLarge;
  if (!sizes_fit(a.out.dims[0] * a.out.dims[1], a.weight.dims[0], stride_of(a.weight))) return kTooLarge;
  return nullptr;
}

Status conv2d_cuda(const OpContext& cx, const Conv2d& a) {
  const Call c = call_of(a);
  if (c.p.n == 0 || c.p.columns == 0) return Status::success();
  if (is_bf16(a.x) && is_bf16(a.weight)) return launch_mma(cx, c);
  return with_types(a.x, a.weight, [&](auto* x, auto* w) {
    using X = std::remove_reference_t<decltype(*x)>;
    using W = std::remove_reference_t<decltype(*w)>;
    if constexpr (sizeof(X) + sizeof(W) > 4) return launch_fma<X, W>(cx, c);
    return Status::success();  // both bf16: above
  });
}

}  // namespace hb::cuda
