#include "cpu/matrix_product.h"

#include "cpu/kernels.h"
#include "cpu/pack.h"

namespace hb::cpu {

namespace {

constexpr int64_t kChunk = 48;           ///< rows per unit of work at most: a multiple of every tile height
constexpr int64_t kGroup = 64;           ///< accumulator columns per unit
constexpr int64_t kTileRows = 16;        ///< largest Verbs::tile_rows
constexpr int64_t kFetched = 128 << 10;  ///< panels of a group that are fetched while the one before it is at work

int64_t align64(int64_t bytes) { return round_up(bytes, 64); }

/// Everything that is decided once per call.
struct Plan {
  const MatrixProduct& p;
  const Verbs& verbs;
  bool weight_bf16, dot, swiglu, packed;
  DType stage_dtype;
  int64_t stride;  ///< elements between staged rows
  bool stage_all;  ///< x is copied once, before the product
  int64_t panel_bytes, panels, groups;
  int64_t chunk_rows[2];  ///< of each expert
  int64_t first_chunks, chunks;

  Plan(const MatrixProduct& product, const Verbs& v) : p(product), verbs(v) {
    weight_bf16 = p.weight[0].dtype == DType::bf16;
    dot = v.dot && weight_bf16 && p.x_dtype == DType::bf16;
    swiglu = p.activation == 3;
    packed = p.weight[0].layout == Layout::packed;
    stage_dtype = dot ? DType::bf16 : DType::f32;
    // bf16 panels hold column pairs, tile registers want 32 columns: the columns beyond k are zeros
    const int64_t width = !weight_bf16 ? p.k : round_up(p.k, dot && v.tile_rows > 1 ? 32 : 2);
    const bool in_place = !p.gather && p.x_dtype == stage_dtype && width == p.k && !(dot && v.tile_rows > 1);
    stage_all = !p.gather && !in_place;
    stride = width;
    panel_bytes = packed_columns(p.k, p.weight[0].dtype) * kPanel * static_cast<int64_t>(bytes_of(p.weight[0].dtype));
    panels = (p.weight[0].dims[0] + kPanel - 1) / kPanel;
    groups = swiglu ? (p.columns + 31) / 32 : (p.columns + kGroup - 1) / kGroup;
    const int64_t split = p.split < p.rows ? p.split : p.rows;
    chunk_rows[0] = rows_per_chunk(split), chunk_rows[1] = rows_per_chunk(p.rows - split);
    first_chunks = (split + chunk_rows[0] - 1) / chunk_rows[0];
    chunks = first_chunks + (p.rows - split + chunk_rows[1] - 1) / chunk_rows[1];
  }

  /// As equal as can be in whole tiles: a chunk of few rows waits for the weight.
  static int64_t rows_per_chunk(int64_t rows) {
    const int64_t count = (rows + kChunk - 1) / kChunk;
    return count == 0 ? kChunk : round_up((rows + count - 1) / count, kTileRows);
  }

  int64_t stage_bytes(int64_t rows) const {
    return align64((rows + kTileRows) * stride * static_cast<int64_t>(bytes_of(stage_dtype)));
  }
  static int64_t accumulator_bytes() { return kChunk * kGroup * 4; }
  int64_t row_bytes() const { return align64(p.k * static_cast<int64_t>(bytes_of(p.x_dtype))); }

  /// Copies one row into its staged form: converted if need be, zeros beyond k.
  void stage(int64_t row, char* target, char* scratch) const {
    const char* from = static_cast<const char*>(p.x) + row * p.k * static_cast<int64_t>(bytes_of(p.x_dtype));
    if (p.gather) {
      char* to = p.x_dtype == stage_dtype ? target : scratch;
      p.gather(p.source, row, to);
      from = to;
    }
    const int64_t size = static_cast<int64_t>(bytes_of(stage_dtype));
    if (p.x_dtype != stage_dtype)
      verbs.widen_row(from, reinterpret_cast<float*>(target), p.k);
    else if (from != target)
      std::memcpy(target, from, static_cast<size_t>(p.k * size));
    std::memset(target + p.k * size, 0, static_cast<size_t>((stride - p.k) * size));
  }

  /// Where panel `index` of an expert's weight is: in the packed weight, or packed now into slot `slot` of `scratch`.
  const void* panel(const TensorView& weight, int64_t index, int slot, char* scratch) const {
    if (packed) return static_cast<const char*>(weight.data) + index * panel_bytes;
    const void* rows[kPanel] = {};
    const int64_t m = weight.dims[0], first = index * kPanel;
    const int live = static_cast<int>(m - first < kPanel ? m - first : kPanel);
    for (int r = 0; r < live; ++r) rows[r] = at(weight, (first + r) * p.k);
    char* target = scratch + slot * panel_bytes;
    pack_panel(rows, live, p.k, weight.dtype, target);
    return target;
  }

  /// The panels of one group. A swiglu group is two gate panels and their two up panels.
  int select_panels(const TensorView& weight, int64_t group, const void* (&list)[4], char* scratch) const {
    if (swiglu) {
      const int64_t half = panels / 2, first = group * 2, count = half - first < 2 ? 1 : 2;
      for (int i = 0; i < 2; ++i) {
        list[i] = i < count ? panel(weight, first + i, i, scratch) : list[0];
        list[2 + i] = i < count ? panel(weight, half + first + i, 2 + i, scratch) : list[2];
      }
      return 4;
    }
    const int count = static_cast<int>(panels - group * 4 < 4 ? panels - group * 4 : 4);
    for (int i = 0; i < count; ++i) list[i] = panel(weight, group * 4 + i, i, scratch);
    return count;
  }

  void rows_of(int64_t chunk, int64_t& first, int64_t& count, int& expert) const {
    const int64_t split = p.split < p.rows ? p.split : p.rows;
    expert = chunk < first_chunks ? 0 : 1;
    const int64_t start = expert ? split : 0, end = expert ? p.rows : split;
    const int64_t most = chunk_rows[expert];
    first = start + (chunk - (expert ? first_chunks : 0)) * most;
    count = end - first < most ? end - first : most;
  }

  /// One group of columns for `count` rows from `first`; `x` is the staged first row.
  void run(int64_t first, int64_t count, int expert, int64_t group, const void* x, const void* const (&list)[4],
           int listed, int64_t upcoming, float* acc) const {
    LinearTile tile{x, stride, count, p.k, {list[0], list[1], list[2], list[3]}, listed, weight_bf16, dot, acc};
    if (listed == 4 && packed && upcoming < groups && 4 * panel_bytes <= kFetched)
      if (select_panels(p.weight[expert], upcoming, tile.next, nullptr) < 4) tile.next[0] = nullptr;
    verbs.linear_tile(tile);
    const int64_t width = swiglu ? 32 : kGroup, column = group * width;
    const TensorView& bias = p.bias[expert];
    LinearEpilogue e{};
    e.acc = acc;
    e.rows = count;
    e.columns = p.columns - column < width ? p.columns - column : width;
    e.bias = bias ? at(bias, column) : nullptr;
    e.bias_bf16 = bias.dtype == DType::bf16;
    e.bias_up = bias && swiglu ? at(bias, p.columns + column) : nullptr;
    e.activation = p.activation;
    e.residual = p.residual ? at(p.residual, first * p.columns + column) : nullptr;
    e.out = at(p.out, first * p.columns + column);
    e.out_stride = p.columns;
    e.out_bf16 = p.out.dtype == DType::bf16;
    verbs.linear_epilogue(e);
  }
};

/// Scratch of one worker: accumulators, panels packed on the fly, one chunk of staged rows, one gathered row.
struct WorkerScratch {
  int64_t acc, panels, stage, row, bytes;
  explicit WorkerScratch(const Plan& plan) {
    acc = 0;
    panels = acc + Plan::accumulator_bytes();
    stage = panels + (plan.packed ? 0 : align64(4 * plan.panel_bytes));
    row = stage + (plan.p.gather ? plan.stage_bytes(kChunk) : 0);
    bytes = row + (plan.p.gather ? plan.row_bytes() : 0);
  }
};

/// Stands in for the verbs of an instruction set where only the shape of its tiles matters.
constexpr Verbs shape(int dot, int tile_rows) {
  Verbs v{};
  v.dot = dot;
  v.tile_rows = tile_rows;
  return v;
}
constexpr Verbs kShapes[] = {shape(0, 1), shape(1, 1), shape(1, kTileRows)};

}  // namespace

size_t matrix_product_workspace(const MatrixProduct& p, int workers) {
  int64_t most = 0;
  for (const Verbs& v : kShapes) {
    const Plan plan(p, v);
    const int64_t bytes = (plan.stage_all ? plan.stage_bytes(p.rows) : 0) + workers * WorkerScratch(plan).bytes;
    most = bytes > most ? bytes : most;
  }
  return static_cast<size_t>(most);
}

void matrix_product(const OpContext& cx, const MatrixProduct& p) {
  const Plan plan(p, verbs(cx));
  const WorkerScratch layout(plan);
  char* const staged = static_cast<char*>(cx.scratch);
  char* const scratch = staged + (plan.stage_all ? plan.stage_bytes(p.rows) : 0);
  const int64_t row_bytes = plan.stride * static_cast<int64_t>(bytes_of(plan.stage_dtype));
  if (plan.stage_all)
    parallel_for(cx, p.rows, [&](int64_t row, int) { plan.stage(row, staged + row * row_bytes, nullptr); });
  const char* const x = plan.stage_all ? staged : static_cast<const char*>(p.x);

  if (p.gather) {  // a unit is a chunk of rows with all its columns, so that a row is gathered once
    parallel_for(cx, plan.chunks, [&](int64_t chunk, int worker) {
      char* mine = scratch + worker * layout.bytes;
      int64_t first, count;
      int expert;
      plan.rows_of(chunk, first, count, expert);
      for (int64_t r = 0; r < count; ++r) plan.stage(first + r, mine + layout.stage + r * row_bytes, mine + layout.row);
      for (int64_t group = 0; group < plan.groups; ++group) {
        const void* list[4] = {};
        const int listed = plan.select_panels(p.weight[expert], group, list, mine + layout.panels);
        plan.run(first, count, expert, group, mine + layout.stage, list, listed, group + 1,
                 reinterpret_cast<float*>(mine + layout.acc));
      }
    });
    return;
  }
  // A unit is a group of columns; packed weights also split by rows, plain ones are packed once per group.
  const int64_t per_group = plan.packed ? plan.chunks : 1, workers = cx.parallel->workers();
  parallel_for(cx, plan.groups * per_group, [&](int64_t unit, int worker) {
    char* mine = scratch + worker * layout.bytes;
    const int64_t group = unit / per_group, start = plan.packed ? unit % per_group : 0;
    const void* list[4] = {};
    int listed = 0, packed_expert = -1;
    for (int64_t chunk = start; chunk < (plan.packed ? start + 1 : plan.chunks); ++chunk) {
      int64_t first, count;
      int expert;
      plan.rows_of(chunk, first, count, expert);
      if (expert != packed_expert) listed = plan.select_panels(p.weight[expert], group, list, mine + layout.panels);
      packed_expert = expert;
      // the next chunk of rows has the same panels
      const int64_t upcoming = chunk + 1 < plan.chunks ? plan.groups : group + workers;
      plan.run(first, count, expert, group, x + first * row_bytes, list, listed, upcoming,
               reinterpret_cast<float*>(mine + layout.acc));
    }
  });
}

}  // namespace hb::cpu
