// What is counted, and that it depends on nothing but the launch.
#include <atomic>
#include <thread>

#include "cuda/conformance/kit.h"

namespace hb::cuda::conformance {
namespace {

/// One warp per 16 x 8 tile of the product of a [16 x 64] and the transpose of b [8 x 64]; rows of 128 bytes in shared
/// memory, their eight 16-byte chunks either in place or xor-ed with the row.
HB_KERNEL void tile_product(const uint16_t* a, const uint16_t* b, float* c, bool swizzled) {
  HB_DYN_SMEM(raw);
  const unsigned l = lane();
  const auto chunk = [&](unsigned row, unsigned k) { return raw + row * 128 + 16 * (swizzled ? k ^ (row % 8) : k); };
  for (unsigned i = l; i < 24 * 8; i += 32) {
    const unsigned row = i / 8, k = i % 8;
    cp_async16(chunk(row, k), row < 16 ? a + row * 64 + 8 * k : b + (row - 16) * 64 + 8 * k);
  }
  cp_async_commit();
  cp_async_wait<0>();
  sync_warp(kAllLanes);
  float d[4] = {};
  for (unsigned k = 0; k < 4; ++k) {
    uint32_t fa[4], fb[2];
    ldmatrix_x4(fa, chunk(l % 16, 2 * k + l / 16));
    ldmatrix_x2(fb, chunk(16 + l % 8, 2 * k + l / 8 % 2));
    mma_bf16(d, fa, fb);
  }
  const unsigned g = l / 4, t = l % 4 * 2;
  c[g * 8 + t] = d[0], c[g * 8 + t + 1] = d[1], c[(g + 8) * 8 + t] = d[2], c[(g + 8) * 8 + t + 1] = d[3];
  sync_block();
}

simt::Counters counted(Check& check, bool swizzled, simt::Options options, unsigned blocks) {
  std::vector<uint16_t> a(16 * 64), b(8 * 64);
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<uint16_t>(0x3f80 + i % 3 * 0x80);  // 1, 2, 4
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<uint16_t>(0x3f80 + i % 2 * 0x80);
  const Array<uint16_t> da(a), db(b);
  Array<float> c(128);
  (void)simt::take_counters();
  check.ran(launch(&options, tile_product, {blocks}, {32}, 24 * 128, da.device(), db.device(), c.device(), swizzled));
  std::vector<float> want(128);
  for (size_t i = 0; i < 128; ++i)
    for (size_t k = 0; k < 64; ++k)
      want[i] += static_cast<float>(1 << (i / 8 * 64 + k) % 3) * static_cast<float>(1 << (i % 8 * 64 + k) % 2);
  check.equal(c.read(), want, "product");
  return simt::take_counters();
}

HB_TEST(counters_are_exact) {
  const simt::Counters c = counted(check, true, {}, 5);
  const auto is = [&](const char* name, uint64_t got, uint64_t want) {
    check.that(got == want, "%s: %llu, not %llu", name, static_cast<unsigned long long>(got),
               static_cast<unsigned long long>(want));
  };
  is("launches", c.launches, 1), is("blocks", c.blocks, 5), is("threads", c.threads, 160);
  is("block_barriers", c.block_barriers, 5), is("mma", c.mma, 20),
      is("copy_async_bytes", c.copy_async_bytes, 5 * 24 * 128);
  is("warp_collectives", c.warp_collectives, 5 * (1 + 4 * 3));
  is("ldmatrix_wavefronts", c.ldmatrix_wavefronts, 5 * 4 * 6);  // a pass for each 8 x 8 matrix
  // Without the swizzle the eight rows of a matrix lie in the same banks.
  is("ldmatrix_wavefronts unswizzled", counted(check, false, {}, 5).ldmatrix_wavefronts, 8 * 5 * 4 * 6);
}

/// Lanes read every stride-th piece of 16 bytes; half of them twice as often.
HB_KERNEL void strided_loads(uint32_t* out, unsigned stride, unsigned times) {
  HB_DYN_SMEM(raw);
  for (unsigned i = lane(); i < 256; i += 32) store16(raw + 16 * i, Vec16{{i, i, i, i}});
  sync_warp(kAllLanes);
  uint32_t sum = 0;
  for (unsigned i = 0; i < (lane() < 16 ? times : 2 * times); ++i)
    sum += load16(raw + 16 * ((lane() * stride + i) % 256)).word[0];
  out[thread_x()] = sum;
}

HB_TEST(counters_of_banks) {
  Array<uint32_t> out(32);
  for (uint64_t seed = 0; seed < 3; ++seed)
    for (unsigned stride : {0u, 1u, 2u, 8u}) {
      simt::Options o;
      o.seed = seed;
      (void)simt::take_counters();
      check.ran(launch(&o, strided_loads, {1}, {32}, 4096, out.device(), stride, 3u));
      const uint64_t got = simt::take_counters().shared_wavefronts;
      // Eight stores of four quarters; three loads by four quarters and three by two.
      const uint64_t want = 8 * 4 + (3 * 4 + 3 * 2) * (stride == 0 ? 1 : stride);
      check.that(got == want, "stride %u: %llu turns, not %llu", stride, static_cast<unsigned long long>(got),
                 static_cast<unsigned long long>(want));
    }
}

HB_TEST(counters_are_deterministic) {
  const simt::Counters first = counted(check, true, {}, 300);
  for (uint64_t seed = 0; seed < 4; ++seed)
    for (int workers : {1, 3}) {
      simt::Options o;
      o.seed = seed, o.workers = workers;
      const simt::Counters again = counted(check, true, o, 300);
      check.that(std::memcmp(&first, &again, sizeof first) == 0, "seed %llu with %d workers counts otherwise",
                 static_cast<unsigned long long>(seed), workers);
    }
}

HB_KERNEL void fail_from(unsigned block, uint32_t* out) {
  if (block_x() >= block && thread_x() < 32) sync_block();
  out[block_x()] = 1;
}

HB_TEST(failures_are_deterministic) {
  Array<uint32_t> out(200);
  for (int workers : {1, 2, 4}) {
    simt::Options o;
    o.workers = workers;
    check.failed(launch(&o, fail_from, {200}, {64}, 0, 77u, out.device()), "deadlock in block (77, 0, 0)");
    check.ran(launch(&o, fail_from, {200}, {64}, 0, 1000u, out.device()));  // the next launch is none the worse
  }
}

HB_KERNEL void order_of_blocks(uint32_t* counter, uint32_t* out) { out[block_x()] = atomic_add(counter, 1u); }

HB_KERNEL void order_of_threads(uint32_t* counter, uint32_t* out) { out[thread_x()] = atomic_add(counter, 1u); }

HB_TEST(schedules) {
  const auto order = [&](uint64_t seed, bool threads) {
    simt::Options o;
    o.seed = seed, o.workers = 1;
    Array<uint32_t> counter(std::vector<uint32_t>{0}), out(64);
    check.ran(threads ? launch(&o, order_of_threads, {1}, {64}, 0, counter.device(), out.device())
                      : launch(&o, order_of_blocks, {64}, {1}, 0, counter.device(), out.device()));
    return out.read();
  };
  std::vector<uint32_t> sorted(64);
  for (uint32_t i = 0; i < 64; ++i) sorted[i] = i;
  check.equal(order(0, true), sorted, "threads in order");
  check.equal(order(0, false), sorted, "blocks in order");
  check.that(order(1, true) != sorted && order(1, true) != order(2, true), "seeds do not change the order of threads");
  check.that(order(1, true) == order(1, true), "a seed is not repeatable");
  check.that(order(1, false) != sorted, "a seed does not change the order of blocks");
}

HB_TEST(concurrent_launches) {
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&, i] {
      for (int j = 0; j < 10; ++j) {
        Array<uint32_t> counter(std::vector<uint32_t>{0}), out(600);
        simt::Options o;
        o.workers = 1 + i;
        const Status s = launch(&o, order_of_blocks, {600}, {8}, 0, counter.device(), out.device());
        if (!s.ok() || counter.read()[0] != 600 * 8) ++wrong;
      }
    });
  for (auto& t : threads) t.join();
  check.that(wrong == 0, "%d launches beside others went wrong", wrong.load());
}

}  // namespace
}  // namespace hb::cuda::conformance
