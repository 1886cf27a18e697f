// Indices, barriers of the block, and order between blocks.
#include "cuda/conformance/kit.h"

namespace hb::cuda::conformance {
namespace {

HB_KERNEL void write_indices(uint32_t* out) {
  const unsigned block = block_x() + blocks_x() * (block_y() + blocks_y() * block_z());
  const unsigned thread = thread_x() + threads_x() * (thread_y() + threads_y() * thread_z());
  const unsigned per_block = threads_x() * threads_y() * threads_z();
  uint32_t* o = out + 5 * (block * per_block + thread);
  o[0] = block, o[1] = linear_thread(), o[2] = warp() * 100 + lane();
  o[3] = thread_x() + 10 * thread_y() + 100 * thread_z() + 1000 * block_x() + 10000 * block_y() + 100000 * block_z();
  o[4] = blocks_x() + 10 * blocks_y() + 100 * blocks_z();
}

HB_TEST(indices) {
  const Extent grid{3, 2, 2}, block{8, 4, 2};
  Array<uint32_t> out(5 * 12 * 64);
  check.ran(launch(check.stream(), write_indices, grid, block, 0, out.device()));
  std::vector<uint32_t> want;
  for (uint32_t b = 0; b < 12; ++b)
    for (uint32_t t = 0; t < 64; ++t) {
      want.insert(
          want.end(),
          {b, t, t / 32 * 100 + t % 32,
           t % 8 + 10 * (t / 8 % 4) + 100 * (t / 32) + 1000 * (b % 3) + 10000 * (b / 3 % 2) + 100000 * (b / 6), 223});
    }
  check.equal(out.read(), want, "indices");
}

/// Reverses 1024 values through shared memory, twice, reusing the buffer.
HB_KERNEL void reverse_twice(const uint32_t* in, uint32_t* once, uint32_t* twice) {
  HB_DYN_SMEM(raw);
  uint32_t* buffer = reinterpret_cast<uint32_t*>(raw);
  const unsigned t = thread_x(), n = threads_x();
  buffer[t] = in[t];
  sync_block();
  const uint32_t v = buffer[n - 1 - t];
  once[t] = v;
  sync_block();
  buffer[t] = v;
  sync_block();
  twice[t] = buffer[n - 1 - t];
}

HB_TEST(block_barrier) {
  std::vector<uint32_t> in(1024), reversed;
  for (uint32_t i = 0; i < 1024; ++i) in[i] = i * 2654435761u;
  reversed.assign(in.rbegin(), in.rend());
  const Array<uint32_t> from(in);
  Array<uint32_t> once(1024), twice(1024);
  check.ran(launch(check.stream(), reverse_twice, {1}, {1024}, 4096, from.device(), once.device(), twice.device()));
  check.equal(once.read(), reversed, "once");
  check.equal(twice.read(), in, "twice");
}

/// Two warps make values, two take them, over two buffers: 1 and 2 say "full", 3 and 4 say "empty".
HB_KERNEL void produce_and_take(uint32_t* out, int rounds) {
  HB_DYN_SMEM(raw);
  uint32_t* buffers = reinterpret_cast<uint32_t*>(raw);
  const unsigned t = thread_x() % 64;
  if (warp() < 2) {
    for (int i = 0; i < rounds; ++i) {
      if (i >= 2) sync_named(3 + i % 2, 128);
      buffers[64 * (i % 2) + t] = static_cast<uint32_t>(i) * 1000 + t;
      arrive_named(1 + i % 2, 128);
    }
  } else {
    for (int i = 0; i < rounds; ++i) {
      sync_named(1 + i % 2, 128);
      out[64 * i + static_cast<int>(t)] = buffers[64 * (i % 2) + 63 - t];
      if (i + 2 < rounds) arrive_named(3 + i % 2, 128);
    }
  }
}

HB_TEST(named_barriers) {
  constexpr int kRounds = 7;
  Array<uint32_t> out(64 * kRounds);
  check.ran(launch(check.stream(), produce_and_take, {1}, {128}, 512, out.device(), kRounds));
  std::vector<uint32_t> want;
  for (uint32_t i = 0; i < kRounds; ++i)
    for (uint32_t t = 0; t < 64; ++t) want.push_back(i * 1000 + 63 - t);
  check.equal(out.read(), want, "taken");
}

/// Every block writes a part; the last one to finish adds them up.
HB_KERNEL void last_block_sums(uint32_t* parts, uint32_t* finished, uint32_t* sum) {
  HB_DYN_SMEM(raw);
  uint32_t* is_last = reinterpret_cast<uint32_t*>(raw);
  parts[block_x() * threads_x() + thread_x()] = block_x() + thread_x();
  fence_device();
  sync_block();
  if (thread_x() == 0) *is_last = atomic_add(finished, 1u) == blocks_x() - 1;
  sync_block();
  if (!*is_last) return;
  fence_device();
  uint32_t total = 0;
  for (unsigned b = 0; b < blocks_x(); ++b) total += parts[b * threads_x() + thread_x()];
  atomic_add(sum, total);
}

HB_TEST(last_block) {
  constexpr uint32_t kBlocks = 150, kThreads = 96;
  Array<uint32_t> parts(kBlocks * kThreads), finished(std::vector<uint32_t>{0}), sum(std::vector<uint32_t>{0});
  check.ran(launch(check.stream(), last_block_sums, {kBlocks}, {kThreads}, 16, parts.device(), finished.device(),
                   sum.device()));
  uint32_t want = 0;
  for (uint32_t b = 0; b < kBlocks; ++b)
    for (uint32_t t = 0; t < kThreads; ++t) want += b + t;
  check.equal(sum.read(), {want}, "sum");
}

/// A flag that is set after the data it stands for.
HB_KERNEL void publish(uint32_t* data, uint32_t* flag, uint32_t* out) {
  if (block_x() % 2 == 0) {
    data[block_x()] = block_x() * 7;
    fence_system();
    store_release(flag + block_x(), 1);
  } else {
    out[block_x()] = load_acquire(flag + block_x() - 1) ? data[block_x() - 1] : (block_x() - 1) * 7;
  }
}

HB_TEST(acquire_and_release) {
  constexpr uint32_t kBlocks = 64;
  Array<uint32_t> data(kBlocks), flag(std::vector<uint32_t>(kBlocks, 0)), out(std::vector<uint32_t>(kBlocks, 0));
  check.ran(launch(check.stream(), publish, {kBlocks}, {1}, 0, data.device(), flag.device(), out.device()));
  std::vector<uint32_t> want(kBlocks, 0);
  for (uint32_t b = 1; b < kBlocks; b += 2) want[b] = (b - 1) * 7;
  check.equal(out.read(), want, "seen");
}

HB_KERNEL void fill_all_shared(uint32_t* out, unsigned words) {
  HB_DYN_SMEM(raw);
  uint32_t* buffer = reinterpret_cast<uint32_t*>(raw);
  for (unsigned i = thread_x(); i < words; i += threads_x()) buffer[i] = i;
  sync_block();
  uint32_t sum = 0;
  for (unsigned i = 0; i < words; i += 64) sum += buffer[i + (thread_x() & 63)];
  out[thread_x()] = sum;
}

HB_TEST(launch_door) {
  Array<uint32_t> out(128);
  const Door before = door();
  constexpr unsigned kWords = 96 * 1024 / 4;  // above what a kernel gets unasked
  check.ran(launch(check.stream(), fill_all_shared, {1}, {128}, kWords * 4, out.device(), kWords));
  std::vector<uint32_t> want(128);
  for (uint32_t t = 0; t < 128; ++t)
    for (uint32_t i = 0; i < kWords; i += 64) want[t] += i + (t & 63);
  check.equal(out.read(), want, "sums");
  check.that(!launch(check.stream(), fill_all_shared, {1}, {2048}, 0, out.device(), 0u).ok(),
             "2048 threads were taken");
  check.that(!launch(check.stream(), fill_all_shared, {0}, {32}, 0, out.device(), 0u).ok(), "an empty grid was taken");
  check.that(!launch(check.stream(), fill_all_shared, {1}, {32}, 1 << 20, out.device(), 0u).ok(),
             "1 MiB of shared memory was given");
  check.that(door().waits == before.waits, "a launch counted as a wait");
  check.that(door().launches > before.launches, "no launch was counted");
#ifdef __CUDACC__
  cudaGetLastError();
#endif
}

}  // namespace
}  // namespace hb::cuda::conformance
