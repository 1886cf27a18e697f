// ldmatrix and mma.sync, written from the fragment tables of the PTX manual. With g = lane / 4 and t = 2 (lane % 4):
// an 8x8 matrix of 16-bit elements gives a lane row g, columns t and t+1; transposed, rows t and t+1 of column g.
#include <bit>
#include <cstring>

#include "simt/block.h"

namespace hb::simt {

namespace {

struct MatrixLoad {
  uint32_t* out;
  const void* row;
  Site site;
};

template <int kCount, bool kTransposed>
void load_lanes(void* const* lanes, uint32_t) {
  Block& block = *t_block;
  const auto of = [&](int lane) -> MatrixLoad& { return *static_cast<MatrixLoad*>(lanes[lane]); };
  for (int m = 0; m < kCount; ++m) {
    uint16_t matrix[8][8];
    const void* rows[8];
    for (int r = 0; r < 8; ++r) {
      rows[r] = of(8 * m + r).row;
      std::memcpy(matrix[r], rows[r], 16);
    }
    block.counters.ldmatrix_wavefronts += turns_of(rows);
    for (int lane = 0; lane < 32; ++lane) {
      const int g = lane / 4, t = lane % 4 * 2;
      const uint32_t low = kTransposed ? matrix[t][g] : matrix[g][t];
      const uint32_t high = kTransposed ? matrix[t + 1][g] : matrix[g][t + 1];
      of(lane).out[m] = low | high << 16;
    }
  }
}

struct Product {
  float* d;
  const uint32_t *a, *b;
};

inline float low(uint32_t pair) { return std::bit_cast<float>(pair << 16); }
inline float high(uint32_t pair) { return std::bit_cast<float>(pair & 0xffff0000u); }

void multiply_lanes(void* const* lanes, uint32_t) {
  float a[16][16], b[16][8], c[16][8];
  const auto of = [&](int lane) -> Product& { return *static_cast<Product*>(lanes[lane]); };
  for (int lane = 0; lane < 32; ++lane) {
    const int g = lane / 4, t = lane % 4 * 2;
    const Product& p = of(lane);
    for (int half = 0; half < 2; ++half) {
      // Registers of a: rows g and g + 8 of columns t, then of columns t + 8.
      a[g][t + 8 * half] = low(p.a[2 * half]), a[g][t + 8 * half + 1] = high(p.a[2 * half]);
      a[g + 8][t + 8 * half] = low(p.a[2 * half + 1]), a[g + 8][t + 8 * half + 1] = high(p.a[2 * half + 1]);
      b[t + 8 * half][g] = low(p.b[half]), b[t + 8 * half + 1][g] = high(p.b[half]);
      c[g + 8 * half][t] = p.d[2 * half], c[g + 8 * half][t + 1] = p.d[2 * half + 1];
    }
  }
  for (int i = 0; i < 16; ++i)
    for (int k = 0; k < 16; ++k)
      for (int j = 0; j < 8; ++j) c[i][j] += a[i][k] * b[k][j];
  for (int lane = 0; lane < 32; ++lane) {
    const int g = lane / 4, t = lane % 4 * 2;
    float* d = of(lane).d;
    d[0] = c[g][t], d[1] = c[g][t + 1], d[2] = c[g + 8][t], d[3] = c[g + 8][t + 1];
  }
  ++t_block->counters.mma;
}

constexpr uint32_t kAllLanes = 0xffffffffu;

}  // namespace

void load_matrices(uint32_t* out, int count, bool transposed, const void* row, Site site) {
  Block& block = *t_block;
  if (static_cast<int>(block.current().linear % kWarp) < 8 * count) {
    block.check_shared(row, 16, 16, "ldmatrix", site);
    block.access(row, 16, Access::read, place_of(site));
  }
  MatrixLoad load{out, row, site};
  const LaneFunction function = count == 4 ? (transposed ? load_lanes<4, true> : load_lanes<4, false>)
                                           : (transposed ? load_lanes<2, true> : load_lanes<2, false>);
  warp_collective(kAllLanes, function, &load, "ldmatrix", site);
}

void multiply_bf16(float* d, const uint32_t* a, const uint32_t* b, Site site) {
  Product p{d, a, b};
  warp_collective(kAllLanes, multiply_lanes, &p, "mma", site);
}

}  // namespace hb::simt
