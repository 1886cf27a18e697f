#pragma once
// out = activation(x W^T + bias) + residual by tiles of rows of x and rows of W ("features"): what linear and conv2d
// have in common. A tile type says how one block multiplies (mma_tile.h: bf16 on tensor cores, fma_tile.h: f32), a rows
// type where the rows of x come from. Every output is one chain of sums over K in order, and tensor cores always see
// the weight as their first operand, so that the bits of a row depend neither on the tile that computes it nor on its
// place.
#include "cuda/kernels.h"
#include "cuda/launch.h"
#include "cuda/prim/prim.h"

namespace hb::cuda {

/// One product. With swiglu, `columns` is half of the weight's rows: gate rows first, then as many up rows.
struct Product {
  const void* x;
  const void *weight[2], *bias[2];  ///< per expert; the second, and biases, may be null
  const int32_t *rows, *split;
  const void* residual;
  void* out;
  int n, k, columns, weight_stride;  ///< stride: elements from row to row of a weight
  int activation;                    ///< enum Activation
  int row_tiles, column_tiles;
  bool bias_bf16, out_bf16, wide_out;

  // A variable index would put the whole struct into local memory.
  HB_HD const void* weight_of(int expert) const { return expert ? weight[1] : weight[0]; }
  HB_HD const void* bias_of(int expert) const { return expert ? bias[1] : bias[0]; }
  HB_HD bool swiglu() const { return activation == static_cast<int>(Activation::swiglu); }
};

/// Rows of kDepth elements in shared memory, in chunks of 16 bytes that are permuted within each row, so that the same
/// chunk of 8 neighbouring rows lies in different banks.
template <class T, int kRows_, int kDepth>
struct Staged {
  using Element = T;
  static constexpr int kRows = kRows_, kPerChunk = 16 / static_cast<int>(sizeof(T)), kChunks = kDepth / kPerChunk;
  static constexpr int kBytes = kRows * kChunks * 16;
  static_assert(kChunks == 4 || kChunks % 8 == 0);
  static HB_DEVICE int offset(int row, int chunk) {
    const int turn = kChunks == 4 ? row / 2 % 4 : row % 8;
    return (row * kChunks + (chunk ^ turn)) * 16;
  }
};

/// What one block computes: rows [row, end) of the call against the features of columns from `column` on.
struct Place {
  int expert, row, end, column;
};

/// Row tiles that share the weight while it is in the second-level cache.
constexpr int kRowTilesTogether = 16;

/// The place of this block. Row tiles of the second expert begin at `split`, so that a tile reads one weight only; the
/// grid has one more than a single expert would need. False: nothing to do.
template <class Tile>
HB_DEVICE bool place_of_block(const Product& p, Place& at) {
  const int id = static_cast<int>(block_x()), group = id / (kRowTilesTogether * p.column_tiles);
  const int first = group * kRowTilesTogether, rest = p.row_tiles - first;
  const int height = rest < kRowTilesTogether ? rest : kRowTilesTogether;
  const int within = id - first * p.column_tiles, tile = first + within % height;
  at.column = within / height * (p.swiglu() ? Tile::kFeatures / 2 : Tile::kFeatures);

  const int live = live_count(p.rows, p.n), split = p.weight[1] ? live_count(p.split, live) : live;
  const int tiles = (split + Tile::kRows - 1) / Tile::kRows;
  at.expert = tile >= tiles;
  at.row = at.expert ? split + (tile - tiles) * Tile::kRows : tile * Tile::kRows;
  const int end = at.expert ? live : split;
  at.end = end - at.row < Tile::kRows ? end : at.row + Tile::kRows;
  return at.row < end;
}

/// Where one thread finds its chunks of a staged matrix: kPasses rows, kRowStep apart, at one chunk of columns.
template <class S, int kThreads>
struct Share {
  static constexpr int kRowStep = kThreads / S::kChunks, kPasses = (S::kRows + kRowStep - 1) / kRowStep;
  static constexpr bool kEven = kPasses * kRowStep == S::kRows;
  static_assert(kThreads % S::kChunks == 0);
  static HB_DEVICE int row(int pass) { return static_cast<int>(thread_x()) / S::kChunks + pass * kRowStep; }
  static HB_DEVICE int chunk() { return static_cast<int>(thread_x()) % S::kChunks; }
};

/// Rows of a row-major matrix: k columns, `stride` elements from row to row.
template <class S, int kThreads>
struct MatrixSource {
  using T = typename S::Element;
  const T* first;                           ///< row `origin`
  int offset[Share<S, kThreads>::kPasses];  ///< elements from there; negative: zeros
  int origin, k, stride, column;

  HB_DEVICE void begin(const void* matrix, int origin_, int k_, int stride_) {
    origin = origin_, k = k_, stride = stride_;
    first = static_cast<const T*>(matrix) + int64_t{origin} * stride;
  }
  HB_DEVICE void set(int pass, int row, bool there) { offset[pass] = there ? (row - origin) * stride : -1; }
  HB_DEVICE void move_to(int to) { column = to; }
  HB_DEVICE const T* at(int pass) const {
    return offset[pass] >= 0 && column < k ? first + offset[pass] + column : nullptr;
  }
};

/// Copies this thread's chunks of the columns from k on. kWide: whole chunks are there or missing, aligned to 16 bytes.
template <class S, int kThreads, bool kWide, class Source>
HB_DEVICE void stage_rows(unsigned char* to, Source& source, int k, const void* anything) {
  using Mine = Share<S, kThreads>;
  const int column = k + Mine::chunk() * S::kPerChunk;
  if constexpr (kWide) source.move_to(column);
  HB_UNROLL
  for (int pass = 0; pass < Mine::kPasses; ++pass) {
    const int row = Mine::row(pass);
    if (!Mine::kEven && row >= S::kRows) continue;
    unsigned char* const chunk = to + S::offset(row, Mine::chunk());
    if constexpr (kWide) {
      const auto* from = source.at(pass);
      cp_async16(chunk, from ? from : anything, from ? 16 : 0);
    } else {
      Vec16 v = {};
      HB_UNROLL
      for (int i = 0; i < S::kPerChunk; ++i) {
        source.move_to(column + i);
        if (const auto* from = source.at(pass)) {
          if constexpr (S::kPerChunk == 8) {
            v.word[i / 2] |= static_cast<uint32_t>(*from) << (i % 2 * 16);
          } else {
            v.word[i] = as_u32(*from);
          }
        }
      }
      store16(chunk, v);
    }
  }
}

/// Sums of a tile in shared memory, [rows][kSumStride]: the padding keeps 16 bytes aligned and fragments' rows apart.
template <class Tile>
constexpr int kSumStride = Tile::kFeatures + 4;

template <class Tile>
constexpr int shared_bytes() {
  constexpr int stages = Tile::kStages * (Tile::StagedW::kBytes + Tile::StagedX::kBytes);
  constexpr int sums = Tile::kRows * kSumStride<Tile> * 4;
  return stages > sums ? stages : sums;
}

HB_DEVICE float sigmoid_of(float v) { return div_rn(1.0f, add_rn(1.0f, exp_f32(-v))); }

/// 8 elements of a bias from `column` on; zeros beyond its end, or where there is none.
HB_DEVICE void load_bias(float (&v)[8], const void* bias, bool bf16, int column, int columns) {
  HB_UNROLL
  for (int i = 0; i < 8; ++i) {
    v[i] = 0.0f;
    if (!bias || i >= columns) continue;
    v[i] = bf16 ? bf16_to_f32(static_cast<const uint16_t*>(bias)[column + i])
                : static_cast<const float*>(bias)[column + i];
  }
}

/// Bias, activation, residual and store of a tile's sums, 8 columns at a time.
template <class Tile, class T>
HB_DEVICE void finish_tile(const Product& p, const Place& at, const float* sums) {
  const bool swiglu = p.swiglu();
  const int groups = (swiglu ? Tile::kFeatures / 2 : Tile::kFeatures) / 8;
  const int c = static_cast<int>(thread_x()) % groups * 8, column = at.column + c, there = p.columns - column;
  if (there <= 0) return;
  float bias[8], up_bias[8];
  load_bias(bias, p.bias_of(at.expert), p.bias_bf16, column, there);
  if (swiglu) load_bias(up_bias, p.bias_of(at.expert), p.bias_bf16, p.columns + column, there);

  const int step = Tile::kThreads / groups;
  for (int r = static_cast<int>(thread_x()) / groups; at.row + r < at.end; r += step) {
    const float* sum = sums + r * kSumStride<Tile> + c;
    float v[8];
    load_row(v, sum);
    HB_UNROLL
    for (int i = 0; i < 8; ++i) v[i] = add_rn(v[i], bias[i]);
    if (swiglu) {
      float up[8];
      load_row(up, sum + Tile::kFeatures / 2);
      HB_UNROLL
      for (int i = 0; i < 8; ++i) v[i] = mul_rn(mul_rn(v[i], sigmoid_of(v[i])), add_rn(up[i], up_bias[i]));
    } else if (p.activation == static_cast<int>(Activation::silu)) {
      HB_UNROLL
      for (int i = 0; i < 8; ++i) v[i] = mul_rn(v[i], sigmoid_of(v[i]));
    } else if (p.activation == static_cast<int>(Activation::gelu_tanh)) {
      // 0.5 v (1 + tanh(u / 2)) = v sigmoid(u) with u = 2 sqrt(2 / pi) (v + 0.044715 v^3)
      HB_UNROLL
      for (int i = 0; i < 8; ++i) {
        const float cubic = fma_rn(mul_rn(mul_rn(v[i], v[i]), v[i]), 0.044715f, v[i]);
        v[i] = mul_rn(v[i], sigmoid_of(mul_rn(cubic, 1.5957691216057308f)));
      }
    }
    const int64_t offset = static_cast<int64_t>(at.row + r) * p.columns + column;
    T* const out = static_cast<T*>(p.out) + offset;
    const T* const residual = static_cast<const T*>(p.residual) + offset;
    if (p.wide_out) {
      if (p.residual) {
        float more[8];
        load_row(more, residual);
        HB_UNROLL
        for (int i = 0; i < 8; ++i) v[i] = add_rn(v[i], more[i]);
      }
      store_row(out, v);
    } else {
      HB_UNROLL
      for (int i = 0; i < 8; ++i) {
        if (i >= there) continue;
        out[i] = narrow<T>(p.residual ? add_rn(v[i], widen(residual[i])) : v[i]);
      }
    }
  }
}

/// One block per tile. While stage s is multiplied, the kStages - 1 after it are under way from memory.
template <class Tile, class Rows, bool kWide>
HB_KERNEL void HB_BOUNDS(Tile::kThreads, Tile::kBlocks) product_kernel(Product p, Rows rows) {
  using W = typename Tile::StagedW;
  using X = typename Tile::StagedX;
  constexpr int kThreads = Tile::kThreads, kStages = Tile::kStages, kBytes = W::kBytes + X::kBytes;
  Place at;
  if (!place_of_block<Tile>(p, at)) return;
  HB_DYN_SMEM(raw);

  MatrixSource<W, kThreads> w;
  w.begin(p.weight_of(at.expert), at.column, p.k, p.weight_stride);
  HB_UNROLL
  for (int pass = 0; pass < Share<W, kThreads>::kPasses; ++pass) {
    int feature = Share<W, kThreads>::row(pass), first = 0;
    if (p.swiglu() && feature >= Tile::kFeatures / 2) feature -= Tile::kFeatures / 2, first = p.columns;
    const bool there = at.column + feature < p.columns;
    w.set(pass, first + at.column + feature, there);
  }
  typename Rows::template Source<X, kThreads> x;
  x.begin(rows, p, at);
  HB_UNROLL
  for (int pass = 0; pass < Share<X, kThreads>::kPasses; ++pass) {
    const int row = at.row + Share<X, kThreads>::row(pass);
    x.set(pass, row, row < at.end);
  }

  const int steps = (p.k + Tile::kDepth - 1) / Tile::kDepth;
  const auto stage = [&](int step, int slot) {
    if (step < steps) {
      unsigned char* const to = raw + slot * kBytes;
      stage_rows<W, kThreads, kWide>(to, w, step * Tile::kDepth, p.x);
      stage_rows<X, kThreads, kWide>(to + W::kBytes, x, step * Tile::kDepth, p.x);
    }
    cp_async_commit();
  };

  typename Tile::Sums sums;
  Tile::clear(sums);
  HB_UNROLL
  for (int s = 0; s < kStages - 1; ++s) stage(s, s);
  int slot = 0;
  for (int step = 0; step < steps; ++step) {
    cp_async_wait<kStages - 2>();
    sync_block();  // the stage is there for all, and all are done with the one that is filled next
    stage(step + kStages - 1, slot == 0 ? kStages - 1 : slot - 1);
    Tile::multiply(sums, raw + slot * kBytes, raw + slot * kBytes + W::kBytes);
    slot = slot + 1 == kStages ? 0 : slot + 1;
  }
  cp_async_wait_all();
  sync_block();
  float* const tile = reinterpret_cast<float*>(raw);
  Tile::store(sums, tile);
  sync_block();
  if (p.out_bf16) {
    finish_tile<Tile, uint16_t>(p, at, tile);
  } else {
    finish_tile<Tile, float>(p, at, tile);
  }
}

/// Indices within a matrix of rows or weights are 32-bit integers, and so are numbers of blocks.
inline bool sizes_fit(int64_t rows, int64_t features, int64_t k) {
  constexpr int64_t kMost = 0x7fffffff, kSide = kMost / 256;
  return rows < kMost && features < kSide && k < kSide && features * k < kMost &&
         (rows / 8 + 2) * (features / 8 + 1) < kMost;
}
inline constexpr const char* kTooLarge = "a matrix of 2^31 elements or more";

/// A packed weight of this backend is row-major, too, each row padded as `packed_columns` says.
inline int stride_of(const TensorView& weight) {
  const int64_t k = weight.dims[1];
  return static_cast<int>(weight.layout == Layout::packed ? packed_columns(k, weight.dtype) : k);
}

/// Blocks that a product takes with this tile.
template <class Tile>
int64_t tiles_of(const Product& p) {
  const int64_t columns = p.swiglu() ? Tile::kFeatures / 2 : Tile::kFeatures;
  return (p.n + int64_t{Tile::kRows} - 1) / Tile::kRows * ((p.columns + columns - 1) / columns);
}

template <class Tile, bool kWide, class Rows>
Status launch_product(const OpContext& cx, Product p, const Rows& rows) {
  const int columns = p.swiglu() ? Tile::kFeatures / 2 : Tile::kFeatures;
  p.row_tiles = (p.n + Tile::kRows - 1) / Tile::kRows + (p.weight[1] ? 1 : 0);
  p.column_tiles = (p.columns + columns - 1) / columns;
  const auto blocks = static_cast<unsigned>(p.row_tiles) * static_cast<unsigned>(p.column_tiles);
  return launch(device(cx).stream, product_kernel<Tile, Rows, kWide>, {blocks}, {Tile::kThreads}, shared_bytes<Tile>(),
                p, rows);
}

}  // namespace hb::cuda
