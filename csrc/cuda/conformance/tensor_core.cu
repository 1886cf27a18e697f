// ldmatrix and mma.sync. Products are of small integers, whose sums are exact in every order.
#include "cuda/conformance/kit.h"

namespace hb::cuda::conformance {
namespace {

constexpr size_t kPitch = 24;  ///< elements from row to row in shared memory: not that of a matrix

/// 32 rows of 8 elements become four matrices, or the first 16 two; `out`: [4 ways, 32 lanes, 4 words].
HB_KERNEL void load_fragments(const uint16_t* in, uint32_t* out) {
  HB_DYN_SMEM(raw);
  uint16_t* rows = reinterpret_cast<uint16_t*>(raw);
  const unsigned l = lane();
  for (unsigned i = 0; i < 8; ++i) rows[l * kPitch + i] = in[l * 8 + i];
  sync_warp(kAllLanes);
  uint32_t four[4], two[2];
  const auto keep = [&](unsigned way, int i, uint32_t v) { out[(way * 32 + l) * 4 + static_cast<unsigned>(i)] = v; };
  ldmatrix_x4(four, rows + l * kPitch);
  HB_UNROLL
  for (int i = 0; i < 4; ++i) keep(0, i, four[i]);
  ldmatrix_x4_trans(four, rows + l * kPitch);
  HB_UNROLL
  for (int i = 0; i < 4; ++i) keep(1, i, four[i]);
  ldmatrix_x2(two, rows + l % 16 * kPitch);
  HB_UNROLL
  for (int i = 0; i < 2; ++i) keep(2, i, two[i]);
  ldmatrix_x2_trans(two, rows + l % 16 * kPitch);
  HB_UNROLL
  for (int i = 0; i < 2; ++i) keep(3, i, two[i]);
}

HB_TEST(ldmatrix) {
  std::vector<uint16_t> in(256);
  for (size_t i = 0; i < 256; ++i) in[i] = static_cast<uint16_t>(i * 257 + 3);
  const Array<uint16_t> from(in);
  Array<uint32_t> out(std::vector<uint32_t>(4 * 32 * 4, 0));
  check.ran(launch(check.stream(), load_fragments, {1}, {32}, 32 * kPitch * 2, from.device(), out.device()));
  std::vector<uint32_t> want(4 * 32 * 4, 0);
  for (size_t l = 0; l < 32; ++l)
    for (size_t m = 0; m < 4; ++m) {
      const auto at = [&](size_t row, size_t column) -> uint32_t { return in[(8 * m + row) * 8 + column]; };
      const size_t row = l / 4, column = l % 4 * 2;
      const uint32_t straight = at(row, column) | at(row, column + 1) << 16;
      const uint32_t across = at(column, row) | at(column + 1, row) << 16;
      want[l * 4 + m] = straight, want[(32 + l) * 4 + m] = across;
      if (m < 2) want[(64 + l) * 4 + m] = straight, want[(96 + l) * 4 + m] = across;
    }
  check.equal(out.read(), want, "fragments");
}

/// c += a b through the fragments as the PTX manual lists them, loaded without ldmatrix.
HB_KERNEL void multiply_by_hand(const uint16_t* a, const uint16_t* b, float* c) {
  const unsigned g = lane() / 4, t = lane() % 4 * 2;
  const auto pair = [](uint16_t low, uint16_t high) { return low | static_cast<uint32_t>(high) << 16; };
  const uint32_t fa[4] = {pair(a[g * 16 + t], a[g * 16 + t + 1]), pair(a[(g + 8) * 16 + t], a[(g + 8) * 16 + t + 1]),
                          pair(a[g * 16 + t + 8], a[g * 16 + t + 9]),
                          pair(a[(g + 8) * 16 + t + 8], a[(g + 8) * 16 + t + 9])};
  const uint32_t fb[2] = {pair(b[t * 8 + g], b[(t + 1) * 8 + g]), pair(b[(t + 8) * 8 + g], b[(t + 9) * 8 + g])};
  float d[4] = {c[g * 8 + t], c[g * 8 + t + 1], c[(g + 8) * 8 + t], c[(g + 8) * 8 + t + 1]};
  mma_bf16(d, fa, fb);
  mma_bf16(d, fa, fb);
  c[g * 8 + t] = d[0], c[g * 8 + t + 1] = d[1], c[(g + 8) * 8 + t] = d[2], c[(g + 8) * 8 + t + 1] = d[3];
}

/// The same through shared memory and ldmatrix: a and b row-major; b is read transposed.
HB_KERNEL void multiply_by_ldmatrix(const uint16_t* a, const uint16_t* b, float* c) {
  HB_DYN_SMEM(raw);
  uint16_t *sa = reinterpret_cast<uint16_t*>(raw), *sb = sa + 16 * kPitch;
  const unsigned l = lane();
  for (unsigned i = l; i < 256; i += 32) sa[i / 16 * kPitch + i % 16] = a[i];
  for (unsigned i = l; i < 128; i += 32) sb[i / 8 * kPitch + i % 8] = b[i];
  sync_warp(kAllLanes);
  uint32_t fa[4], fb[2];
  ldmatrix_x4(fa, sa + l % 16 * kPitch + l / 16 * 8);
  ldmatrix_x2_trans(fb, sb + l % 16 * kPitch);
  const unsigned g = l / 4, t = l % 4 * 2;
  float d[4] = {c[g * 8 + t], c[g * 8 + t + 1], c[(g + 8) * 8 + t], c[(g + 8) * 8 + t + 1]};
  mma_bf16(d, fa, fb);
  mma_bf16(d, fa, fb);
  c[g * 8 + t] = d[0], c[g * 8 + t + 1] = d[1], c[(g + 8) * 8 + t] = d[2], c[(g + 8) * 8 + t + 1] = d[3];
}

uint16_t small_bf16(int v) {
  const float f = static_cast<float>(v);
  uint32_t u;
  std::memcpy(&u, &f, 4);
  return static_cast<uint16_t>(u >> 16);
}

HB_TEST(mma) {
  Numbers r(9);
  std::vector<int> a(256), b(128), c(128);
  std::vector<uint16_t> ha(256), hb(128);
  std::vector<float> hc(128), want(128);
  for (size_t i = 0; i < 256; ++i) a[i] = r.below(255) - 127, ha[i] = small_bf16(a[i]);
  for (size_t i = 0; i < 128; ++i) b[i] = r.below(255) - 127, hb[i] = small_bf16(b[i]);
  for (size_t i = 0; i < 128; ++i) {
    c[i] = r.below(1000) - 500, hc[i] = static_cast<float>(c[i]);
    int sum = c[i];
    for (size_t k = 0; k < 16; ++k) sum += 2 * a[i / 8 * 16 + k] * b[k * 8 + i % 8];
    want[i] = static_cast<float>(sum);
  }
  const Array<uint16_t> da(ha), db(hb);
  for (auto* kernel : {multiply_by_hand, multiply_by_ldmatrix}) {
    Array<float> dc(hc);
    check.ran(launch(check.stream(), kernel, {1}, {32}, 32 * kPitch * 2, da.device(), db.device(), dc.device()));
    check.equal(dc.read(), want, kernel == multiply_by_hand ? "fragments by hand" : "fragments by ldmatrix");
  }
}

}  // namespace
}  // namespace hb::cuda::conformance
