#include "cpu/kernels.h"
#include "cpu/matrix_product.h"
#include "cpu/pack.h"

namespace hb::cpu {

namespace {

// The neighbours that one kernel row reads for a run of output pixels lie side by side in a channels-last image: they
// are already the rows of a matrix, kernel * C long and stride * C apart, overlapping. So nothing is gathered: a unit
// copies its part of the image with a border of zeros, and multiplies it once per kernel row, going on with the same
// sums. Convolutions whose kernel rows are too short or do not fall on whole column pairs (tiles) of the packed weight
// gather patches instead.
constexpr int64_t kPixels =
    192;  ///< output pixels per unit, at most: their sums of 64 columns fill a first-level cache
constexpr int64_t kFewPixels = 48;     ///< and at least, where a smaller unit would spread over more threads
constexpr int64_t kShortColumns = 48;  ///< kernel rows below this cost more in resumed sums than in gathering
constexpr int64_t kTileRows = 16;      ///< largest Verbs::tile_rows

int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

struct Plan {
  int64_t height, width, c, y, x, m, kernel, stride, pad, run;  // run: columns of one kernel row
  int64_t panels, panel_bytes;
  bool pointwise;

  explicit Plan(const Conv2d& a) {
    height = a.x.dims[0], width = a.x.dims[1], c = a.x.dims[2];
    y = a.out.dims[0], x = a.out.dims[1], m = a.out.dims[2];
    kernel = a.kernel, stride = a.stride, pad = a.pad_begin, run = kernel * c;
    panels = (m + kPanel - 1) / kPanel;
    panel_bytes =
        packed_columns(a.weight.dims[1], a.weight.dtype) * kPanel * static_cast<int64_t>(bytes_of(a.weight.dtype));
    pointwise = kernel == 1 && stride == 1 && a.pad_begin == 0 && a.pad_end == 0;
  }

  int64_t weight_bytes(const Conv2d& a) const {
    return a.weight.layout == Layout::packed ? 0 : round_up(panels * panel_bytes, 64);
  }

  /// The rectangle of output pixels of one unit.
  void rectangle(int64_t pixels, int64_t& columns, int64_t& rows) const {
    columns = smaller(x, pixels);
    rows = columns > 0 ? smaller(y, pixels / columns > 1 ? pixels / columns : 1) : 0;
  }
  int64_t stage_columns(int64_t columns) const { return (columns - 1) * stride + kernel; }
  int64_t stage_rows(int64_t rows) const { return (rows - 1) * stride + kernel; }
  int64_t stage_bytes() const {
    int64_t columns, rows;
    rectangle(kPixels, columns, rows);
    // tile registers read whole blocks of 16 rows
    return round_up((stage_rows(rows) * stage_columns(columns) + kTileRows * stride) * c * 4, 64);
  }
  static int64_t accumulator_bytes(int64_t columns, int64_t rows) {
    return rows * round_up(columns, kTileRows) * 64 * 4;
  }
  int64_t worker_bytes() const {
    int64_t columns, rows;
    rectangle(kPixels, columns, rows);
    return stage_bytes() + accumulator_bytes(columns, rows);
  }
};

/// Copies the patch of one output pixel, for convolutions that cannot be read in place.
void gather_patch(const void* source, int64_t pixel, void* target) {
  const Conv2d& a = *static_cast<const Conv2d*>(source);
  const Plan p(a);
  const size_t size = bytes_of(a.x.dtype), row_bytes = static_cast<size_t>(p.run) * size;
  const int64_t y0 = pixel / p.x * p.stride - p.pad, x0 = pixel % p.x * p.stride - p.pad;
  const int64_t first = x0 < 0 ? smaller(-x0, p.kernel) : 0, last = smaller(p.width - x0, p.kernel);
  char* to = static_cast<char*>(target);
  if (row_bytes == 0) return;
  for (int64_t i = 0; i < p.kernel; ++i, to += row_bytes) {
    if (first > 0 || last < p.kernel || y0 + i < 0 || y0 + i >= p.height) std::memset(to, 0, row_bytes);
    if (first < last && y0 + i >= 0 && y0 + i < p.height)
      std::memcpy(to + static_cast<size_t>(first * p.c) * size, at(a.x, ((y0 + i) * p.width + x0 + first) * p.c),
                  static_cast<size_t>((last - first) * p.c) * size);
  }
}

MatrixProduct product_of(const Conv2d& a, const Plan& p) {
  MatrixProduct product;
  product.rows = product.split = p.y * p.x;
  product.k = a.weight.dims[1];
  product.columns = p.m;
  product.weight[0] = a.weight;
  product.bias[0] = a.bias;
  product.residual = a.residual, product.out = a.out;
  product.x_dtype = a.x.dtype;
  if (p.pointwise) {
    product.x = a.x.data;
  } else {
    product.gather = gather_patch;
    product.source = &a;
  }
  return product;
}

/// Does every kernel row begin at a whole step of the packed weight?
bool in_place(const Conv2d& a, const Plan& p, const Verbs& v) {
  if (p.pointwise || p.run < kShortColumns) return false;
  if (a.weight.dtype != DType::bf16) return true;
  return p.run % (v.dot && v.tile_rows > 1 && a.x.dtype == DType::bf16 ? 32 : 2) == 0;
}

struct Call {
  const OpContext& cx;
  const Conv2d& a;
  const Plan& p;
  const Verbs& verbs;
  bool dot;

  /// Input under the rectangle at (y0, x0), widened if need be, zeros outside of the image.
  void stage(int64_t y0, int64_t x0, int64_t rows, int64_t columns, char* to) const {
    const size_t size = dot ? 2 : 4;
    const int64_t wide = p.stage_columns(columns), left = x0 * p.stride - p.pad;
    const int64_t first = left < 0 ? smaller(-left, wide) : 0, last = smaller(p.width - left, wide);
    for (int64_t i = 0; i < p.stage_rows(rows); ++i, to += static_cast<size_t>(wide * p.c) * size) {
      const int64_t iy = y0 * p.stride - p.pad + i;
      const int64_t end = iy < 0 || iy >= p.height || last < first ? first : last;
      std::memset(to, 0, static_cast<size_t>(first * p.c) * size);
      std::memset(to + static_cast<size_t>(end * p.c) * size, 0, static_cast<size_t>((wide - end) * p.c) * size);
      if (end == first) continue;
      const void* from = at(a.x, (iy * p.width + left + first) * p.c);
      char* target = to + static_cast<size_t>(first * p.c) * size;
      if (a.x.dtype == DType::bf16 && !dot)
        verbs.widen_row(from, reinterpret_cast<float*>(target), (end - first) * p.c);
      else
        std::memcpy(target, from, static_cast<size_t>((end - first) * p.c) * size);
    }
  }

  /// Output columns of `group` for the staged rectangle.
  void group(int64_t group, int64_t y0, int64_t x0, int64_t rows, int64_t columns, const char* staged,
             float* acc) const {
    const int64_t wide = p.stage_columns(columns) * p.c * (dot ? 2 : 4), sums = round_up(columns, kTileRows) * 64;
    LinearTile tile{};
    tile.x_stride = p.stride * p.c;
    tile.rows = columns;
    tile.k = p.run;
    tile.weight_bf16 = a.weight.dtype == DType::bf16;
    tile.dot = dot;
    tile.panels = static_cast<int>(smaller(4, p.panels - group * 4));
    for (int64_t i = 0; i < p.kernel; ++i) {
      const int64_t offset = i * p.run * kPanel * static_cast<int64_t>(bytes_of(a.weight.dtype));
      for (int j = 0; j < tile.panels; ++j)
        tile.panel[j] = static_cast<const char*>(a.weight.data) + (group * 4 + j) * p.panel_bytes + offset;
      tile.resume = i > 0;
      for (int64_t r = 0; r < rows; ++r) {
        tile.x = staged + (r * p.stride + i) * wide;
        tile.out = acc + r * sums;
        verbs.linear_tile(tile);
      }
    }
    LinearEpilogue e{};
    e.rows = columns;
    e.columns = smaller(64, p.m - group * 64);
    e.bias = at(a.bias, group * 64);
    e.bias_bf16 = a.bias.dtype == DType::bf16;
    e.out_stride = p.m;
    e.out_bf16 = a.out.dtype == DType::bf16;
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t first = ((y0 + r) * p.x + x0) * p.m + group * 64;
      e.acc = acc + r * sums;
      e.residual = a.residual ? at(a.residual, first) : nullptr;
      e.out = at(a.out, first);
      verbs.linear_epilogue(e);
    }
  }
};

void convolve(const OpContext& cx, const Conv2d& a, const Plan& p) {
  const Call call{cx, a, p, verbs(cx), verbs(cx).dot && a.x.dtype == DType::bf16 && a.weight.dtype == DType::bf16};
  // How work is cut depends on the threads; the bits do not, because every output is one chain over K.
  const int64_t workers = cx.parallel->workers(), share = p.y * p.x / (3 * workers);
  int64_t columns, rows;
  p.rectangle(share < kFewPixels ? kFewPixels : smaller(share, kPixels), columns, rows);
  const int64_t across = (p.x + columns - 1) / columns, rectangles = across * ((p.y + rows - 1) / rows);
  const int64_t groups = (p.panels + 3) / 4, parts = smaller(groups, (2 * workers + rectangles - 1) / rectangles);
  parallel_for(cx, rectangles * parts, [&](int64_t unit, int worker) {
    char* staged = static_cast<char*>(cx.scratch) + worker * p.worker_bytes();
    float* acc = reinterpret_cast<float*>(staged + p.stage_bytes());
    const int64_t rectangle = unit / parts, part = unit % parts;
    const int64_t y0 = rectangle / across * rows, x0 = rectangle % across * columns;
    const int64_t height = smaller(rows, p.y - y0), width = smaller(columns, p.x - x0);
    call.stage(y0, x0, height, width, staged);
    for (int64_t g = part * groups / parts; g < (part + 1) * groups / parts; ++g)
      call.group(g, y0, x0, height, width, staged, acc);
  });
}

}  // namespace

size_t conv2d_workspace(const Conv2d& a, int workers) {
  const Plan p(a);
  Conv2d packed = a;
  packed.weight.layout = Layout::packed;
  const size_t product = matrix_product_workspace(product_of(packed, p), workers);
  const size_t in_place = p.pointwise ? 0 : static_cast<size_t>(workers * p.worker_bytes());
  return static_cast<size_t>(p.weight_bytes(a)) + (product > in_place ? product : in_place);
}

Status conv2d_cpu(const OpContext& cx, const Conv2d& a) {
  const Plan p(a);
  if (p.y * p.x * p.m == 0) return Status::success();
  Conv2d packed = a;
  OpContext rest = cx;
  if (a.weight.layout == Layout::plain) {
    const int64_t k = a.weight.dims[1];
    parallel_for(cx, p.panels, [&](int64_t panel, int) {
      const void* rows[kPanel] = {};
      const int live = static_cast<int>(smaller(kPanel, p.m - panel * kPanel));
      for (int r = 0; r < live; ++r) rows[r] = at(a.weight, (panel * kPanel + r) * k);
      pack_panel(rows, live, k, a.weight.dtype, static_cast<char*>(cx.scratch) + panel * p.panel_bytes);
    });
    packed.weight.data = cx.scratch;
    packed.weight.layout = Layout::packed;
    rest.scratch = static_cast<char*>(cx.scratch) + p.weight_bytes(a);
    rest.scratch_bytes -= static_cast<size_t>(p.weight_bytes(a));
  }
  if (in_place(packed, p, verbs(cx)))
    convolve(rest, packed, p);
  else
    matrix_product(rest, product_of(packed, p));
  return Status::success();
}

}  // namespace hb::cpu
