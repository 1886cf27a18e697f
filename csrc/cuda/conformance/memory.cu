// Wide loads and stores, and asynchronous copies.
#include "cuda/conformance/kit.h"

namespace hb::cuda::conformance {
namespace {

std::vector<uint32_t> rubbish(size_t n, uint64_t seed) {
  Numbers r(seed);
  std::vector<uint32_t> v(n);
  for (auto& x : v) x = static_cast<uint32_t>(r.bits());
  return v;
}

HB_KERNEL void copy_wide(const uint32_t* in, uint32_t* out, uint32_t* through_shared) {
  HB_DYN_SMEM(raw);
  const unsigned t = thread_x(), n = threads_x();
  store16(out + 4 * t, load16_streaming(in + 4 * t));
  store16(raw + 16 * t, load16(in + 4 * t));
  sync_block();
  store16(through_shared + 4 * t, load16(raw + 16 * (n - 1 - t)));
}

HB_TEST(wide_loads) {
  const std::vector<uint32_t> in = rubbish(512, 4);
  const Array<uint32_t> from(in);
  Array<uint32_t> out(512), reversed(512);
  check.ran(launch(check.stream(), copy_wide, {1}, {128}, 2048, from.device(), out.device(), reversed.device()));
  check.equal(out.read(), in, "copied");
  std::vector<uint32_t> want(512);
  for (size_t t = 0; t < 128; ++t)
    for (size_t i = 0; i < 4; ++i) want[4 * t + i] = in[4 * (127 - t) + i];
  check.equal(reversed.read(), want, "reversed in shared memory");
}

template <class T>
HB_KERNEL void rows_through_registers(const T* in, T* out) {
  float v[8];
  load_row(v, in + 8 * thread_x());
  HB_UNROLL
  for (int i = 0; i < 8; ++i) v[i] = mul_rn(v[i], 2.0f);
  store_row(out + 8 * thread_x(), v);
}

HB_TEST(rows) {
  Numbers r(5);
  std::vector<float> in(256), doubled(256);
  std::vector<uint16_t> in16(256), doubled16(256);
  for (size_t i = 0; i < 256; ++i) {
    in16[i] = static_cast<uint16_t>(0x3f80 + r.below(64) - (r.below(2) << 15)),
    doubled16[i] = static_cast<uint16_t>(in16[i] + 0x80);
    in[i] = r.unit(), doubled[i] = in[i] * 2;
  }
  const Array<float> from(in);
  const Array<uint16_t> from16(in16);
  Array<float> out(256);
  Array<uint16_t> out16(256);
  check.ran(launch(check.stream(), rows_through_registers<float>, {1}, {32}, 0, from.device(), out.device()));
  check.ran(launch(check.stream(), rows_through_registers<uint16_t>, {1}, {32}, 0, from16.device(), out16.device()));
  check.equal(out.read(), doubled, "f32");
  check.equal(out16.read(), doubled16, "bf16");
}

HB_KERNEL void clamp_counts(const int32_t* counts, int32_t* out) {
  out[thread_x()] = live_count(counts + thread_x(), 10);
  if (thread_x() == 0) out[5] = live_count(nullptr, 10);
}

HB_TEST(live_counts) {
  const Array<int32_t> counts(std::vector<int32_t>{-3, 0, 7, 10, 11});
  Array<int32_t> out(6);
  check.ran(launch(check.stream(), clamp_counts, {1}, {5}, 0, counts.device(), out.device()));
  check.equal(out.read(), {0, 0, 7, 10, 10, 10}, "clamped");
}

/// Copies a tail of every length from 0 to 16 bytes; the rest of the 16 becomes zeros.
HB_KERNEL void copy_tails(const unsigned char* in, unsigned char* out) {
  HB_DYN_SMEM(raw);
  const unsigned t = thread_x();
  if (t < 17) cp_async16(raw + 16 * t, in + 16 * t, static_cast<int>(t));
  cp_async_commit();
  cp_async_wait<0>();
  sync_block();
  for (unsigned i = t; i < 17 * 16; i += threads_x()) out[i] = raw[i];
}

HB_TEST(copy_tails_and_zeros) {
  Numbers r(6);
  std::vector<unsigned char> in(17 * 16), want(17 * 16, 0);
  for (auto& v : in) v = static_cast<unsigned char>(r.bits());
  for (size_t t = 0; t < 17; ++t)
    for (size_t i = 0; i < t; ++i) want[16 * t + i] = in[16 * t + i];
  const Array<unsigned char> from(in);
  Array<unsigned char> out(17 * 16);
  check.ran(launch(check.stream(), copy_tails, {1}, {32}, 17 * 16, from.device(), out.device()));
  check.equal(out.read(), want, "tails");
}

/// Sums columns of tiles that come through kStages buffers, one group of copies each.
template <int kStages>
HB_KERNEL void pipeline(const uint32_t* in, uint32_t* out, int tiles) {
  HB_DYN_SMEM(raw);
  const unsigned t = thread_x(), n = threads_x();
  const auto stage = [&](int i) { return raw + static_cast<unsigned>(i % kStages) * n * 16; };
  const auto fetch = [&](int i) {
    if (i < tiles) cp_async16(stage(i) + 16 * t, in + (static_cast<unsigned>(i) * n + t) * 4);
    cp_async_commit();  // a group for every tile, empty ones too: waiting counts groups
  };
  for (int i = 0; i < kStages - 1; ++i) fetch(i);
  uint32_t sum = 0;
  for (int i = 0; i < tiles; ++i) {
    cp_async_wait<kStages - 2>();
    sync_block();  // the tile is there for all, and everyone has left the one that is overwritten next
    fetch(i + kStages - 1);
    const uint32_t* words = reinterpret_cast<const uint32_t*>(stage(i) + 16 * ((t + 1) % n));
    for (int j = 0; j < 4; ++j) sum = sum * 31 + words[j];
  }
  cp_async_wait_all();
  out[t] = sum;
}

template <int kStages>
void test_pipeline(Check& check) {
  constexpr unsigned kThreads = 64;
  constexpr int kTiles = 11;
  const std::vector<uint32_t> in = rubbish(kTiles * kThreads * 4, 7);
  std::vector<uint32_t> want(kThreads, 0);
  for (size_t t = 0; t < kThreads; ++t)
    for (size_t i = 0; i < kTiles; ++i)
      for (size_t j = 0; j < 4; ++j) want[t] = want[t] * 31 + in[(i * kThreads + (t + 1) % kThreads) * 4 + j];
  const Array<uint32_t> from(in);
  Array<uint32_t> out(kThreads);
  check.ran(launch(check.stream(), pipeline<kStages>, {1}, {kThreads}, kStages * kThreads * 16, from.device(),
                   out.device(), kTiles));
  check.equal(out.read(), want, "sums");
}

HB_TEST(copy_pipeline) {
  test_pipeline<2>(check);
  test_pipeline<3>(check);
  test_pipeline<5>(check);
}

/// Waiting for all takes in copies that were never committed.
HB_KERNEL void copy_uncommitted(const uint32_t* in, uint32_t* out) {
  HB_DYN_SMEM(raw);
  cp_async16(raw + 16 * thread_x(), in + 4 * thread_x());
  cp_async_wait_all();
  sync_warp(kAllLanes);
  store16(out + 4 * thread_x(), load16(raw + 16 * (31 - thread_x())));
}

HB_TEST(copy_without_commit) {
  const std::vector<uint32_t> in = rubbish(128, 8);
  std::vector<uint32_t> want(128);
  for (size_t i = 0; i < 128; ++i) want[i] = in[(31 - i / 4) * 4 + i % 4];
  const Array<uint32_t> from(in);
  Array<uint32_t> out(128);
  check.ran(launch(check.stream(), copy_uncommitted, {1}, {32}, 512, from.device(), out.device()));
  check.equal(out.read(), want, "copied");
}

}  // namespace
}  // namespace hb::cuda::conformance
