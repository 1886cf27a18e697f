// Kernels with a bug each. The emulator must report it, with words that lead to it; the same kernel without the bug
// must pass. Which runs find what is part of the claim: some bugs give right results in order and are found by the race
// detector alone.
#include <cmath>

#include "cuda/conformance/kit.h"

namespace hb::cuda::conformance {
namespace {

simt::Options with(uint64_t seed, bool races) {
  simt::Options o;
  o.seed = seed, o.races = races;
  return o;
}

enum Bug { kNone, kNoWait, kNoBarrierAfterWait, kNoBarrierBeforeReuse };

/// Two buffers; every thread but the last few sums what the next one fetched. (In order, the last to come to a barrier
/// goes on first, then thread 0: it happens that nobody is read too late.)
HB_KERNEL void fetch_and_sum(const float* in, float* out, int tiles, int bug) {
  HB_DYN_SMEM(raw);
  const unsigned t = thread_x(), n = threads_x();
  const auto buffer = [&](int i) { return raw + static_cast<unsigned>(i % 2) * n * 16; };
  const auto fetch = [&](int i) {
    if (i < tiles) cp_async16(buffer(i) + 16 * t, in + (static_cast<unsigned>(i) * n + t) * 4);
    cp_async_commit();
  };
  float sum = 0;
  fetch(0);
  for (int i = 0; i < tiles; ++i) {
    fetch(i + 1);
    if (bug != kNoWait) cp_async_wait<1>();
    if (bug != kNoBarrierAfterWait) sync_block();
    const float* v = reinterpret_cast<const float*>(buffer(i) + 16 * (t < n - 16 ? t + 1 : t));
    for (int j = 0; j < 4; ++j) sum += v[j];
    if (bug != kNoBarrierBeforeReuse) sync_block();
  }
  cp_async_wait_all();
  out[t] = sum;
}

struct Fetch {
  static constexpr unsigned kThreads = 128;
  static constexpr int kTiles = 6;
  Status status;
  bool right = true;
};

Fetch run_fetch(int bug, simt::Options options) {
  std::vector<float> in(Fetch::kThreads * 4 * Fetch::kTiles);
  for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i % 251);
  const Array<float> from(in);
  Array<float> out(Fetch::kThreads);
  Fetch f;
  f.status = launch(&options, fetch_and_sum, {1}, {Fetch::kThreads}, 2 * Fetch::kThreads * 16, from.device(),
                    out.device(), Fetch::kTiles, bug);
  const std::vector<float> got = out.read();
  for (size_t t = 0; t < Fetch::kThreads; ++t) {
    float want = 0;
    for (size_t i = 0; i < Fetch::kTiles; ++i)
      for (size_t j = 0; j < 4; ++j) want += in[(i * Fetch::kThreads + (t < 112 ? t + 1 : t)) * 4 + j];
    f.right = f.right && got[t] == want;
  }
  return f;
}

HB_TEST(planted_none) {
  for (uint64_t seed = 0; seed < 10; ++seed)
    for (bool races : {false, true}) {
      const Fetch f = run_fetch(kNone, with(seed, races));
      check.ran(f.status);
      check.that(f.right, "a correct kernel gives a wrong result");
    }
}

HB_TEST(planted_missing_wait) {
  check.that(!run_fetch(kNoWait, with(0, false)).right, "the result is right without the race detector");
  check.failed(run_fetch(kNoWait, with(0, true)).status, "race on byte", "an asynchronous copy is under way",
               "planted.cu:");
}

HB_TEST(planted_missing_barrier_after_wait) {
  check.that(!run_fetch(kNoBarrierAfterWait, with(0, false)).right, "the result is right without the race detector");
  for (uint64_t seed = 0; seed < 5; ++seed)
    check.failed(run_fetch(kNoBarrierAfterWait, with(seed, true)).status, "race on byte", "planted.cu:");
}

HB_TEST(planted_missing_barrier_before_reuse) {
  // In order it happens to be right: this is why the race detector is on by default.
  check.that(run_fetch(kNoBarrierBeforeReuse, with(0, false)).right, "the result is wrong in order");
  int wrong = 0;
  for (uint64_t seed = 1; seed < 11; ++seed) wrong += !run_fetch(kNoBarrierBeforeReuse, with(seed, false)).right;
  check.that(wrong >= 5, "only %d of 10 random schedules give a wrong result", wrong);
  for (uint64_t seed = 0; seed < 5; ++seed)
    check.failed(run_fetch(kNoBarrierBeforeReuse, with(seed, true)).status, "race on byte", "write by thread",
                 "not ordered after the read");
}

HB_KERNEL void copy_never_awaited(const float* in, float* out) {
  HB_DYN_SMEM(raw);
  cp_async16(raw + 16 * thread_x(), in + 4 * thread_x());
  cp_async_commit();
  out[thread_x()] = 1;
}

HB_TEST(planted_copy_never_awaited) {
  const Array<float> in(std::vector<float>(128, 1.0f));
  Array<float> out(32);
  check.failed(launch(check.stream(), copy_never_awaited, {1}, {32}, 512, in.device(), out.device()),
               "never waited for", "planted.cu:");
}

HB_KERNEL void barrier_on_two_lines(uint32_t* out) {
  if (thread_x() < 32) {
    sync_block();
  } else {
    out[thread_x()] = 1;
    sync_block();
  }
}

HB_KERNEL void barrier_for_some(uint32_t* out) {
  if (thread_x() < 32) sync_block();
  out[thread_x()] = 1;
}

HB_TEST(planted_divergent_barrier) {
  Array<uint32_t> out(64);
  check.failed(launch(check.stream(), barrier_on_two_lines, {1}, {64}, 0, out.device()), "divergent",
               "others wait at planted.cu:");
  check.failed(launch(check.stream(), barrier_for_some, {1}, {64}, 0, out.device()), "deadlock",
               "threads 0-31 waits at block barrier (planted.cu:", "threads 32-63 finished");
}

HB_KERNEL void double_all(const float* in, float* out, int n, bool predicated) {
  const int i = static_cast<int>(block_x() * threads_x() + thread_x());
  if (predicated && i >= n) return;
  out[i < n ? i : 0] = 2 * in[i];
}

HB_KERNEL void double_all_wide(const float* in, float* out, int n) {
  const int i = static_cast<int>(block_x() * threads_x() + thread_x()) * 4;
  float v[4];
  load_row(v, in + i);
  for (int j = 0; j < 4; ++j)
    if (i + j < n) out[i + j] = v[j];
}

HB_KERNEL void copy_tail_async(const float* in, float* out, int n, bool predicated) {
  HB_DYN_SMEM(raw);
  const int i = static_cast<int>(thread_x()) * 4;
  const int left = (n - i) * 4;
  cp_async16(raw + 4 * i, in + i, predicated ? (left > 16 ? 16 : left > 0 ? left : 0) : 16);
  cp_async_wait_all();
  if (i < n) out[i] = reinterpret_cast<const float*>(raw)[i];
}

HB_TEST(planted_unpredicated_tail) {
  constexpr int kCount = 1000;
  const Array<float> in(std::vector<float>(kCount, 3.0f));
  Array<float> out(kCount);
  check.ran(launch(check.stream(), double_all, {8}, {128}, 0, in.device(), out.device(), kCount, true));
  check.failed(launch(check.stream(), double_all, {8}, {128}, 0, in.device(), out.device(), kCount, false),
               "of a buffer of 4000 bytes", "planted.cu:", "thread (1");
  check.failed(launch(check.stream(), double_all_wide, {2}, {128}, 0, in.device(), out.device(), kCount),
               "of a buffer of 4000 bytes", "planted.cu:");
  check.ran(launch(check.stream(), copy_tail_async, {1}, {256}, 4096, in.device(), out.device(), kCount, true));
  check.failed(launch(check.stream(), copy_tail_async, {1}, {256}, 4096, in.device(), out.device(), kCount, false),
               "of a buffer of 4000 bytes", "planted.cu:");
}

HB_KERNEL void write_before(float* out) { out[-1 - static_cast<int>(thread_x()) * 1024] = 0; }

HB_KERNEL void write_nowhere(float** out) { **out = 0; }

HB_TEST(planted_wild_pointer) {
  Array<float> out(1024);
  check.failed(launch(check.stream(), write_before, {1}, {32}, 0, out.device()), "planted.cu:", "access to ");
  const Array<float*> null(std::vector<float*>{nullptr});
  check.failed(launch(check.stream(), write_nowhere, {1}, {1}, 0, null.device()), "planted.cu:", "access to address");
}

HB_KERNEL void different_collectives(uint32_t* out) {
  if (lane() < 16) {
    out[thread_x()] = ballot(kAllLanes, true);
  } else {
    out[thread_x()] = shuffle_xor(kAllLanes, thread_x(), 1);
  }
}

HB_KERNEL void same_collective_on_two_lines(uint32_t* out) {
  if (lane() < 16) {
    out[thread_x()] = shuffle_xor(kAllLanes, thread_x(), 1);
  } else {
    out[thread_x()] = shuffle_xor(kAllLanes, thread_x(), 1);
  }
}

HB_KERNEL void not_in_own_mask(uint32_t* out) { out[thread_x()] = ballot(0x0000ffffu, true); }

HB_KERNEL void lanes_left_early(uint32_t* out) {
  if (lane() >= 20) return;
  out[thread_x()] = ballot(kAllLanes, true);
}

HB_TEST(planted_mismatched_lanes) {
  Array<uint32_t> out(64);
  check.failed(launch(check.stream(), different_collectives, {1}, {64}, 0, out.device()), "different collectives",
               "ballot at planted.cu:", "shuffle_xor at planted.cu:");
  check.failed(launch(check.stream(), same_collective_on_two_lines, {1}, {64}, 0, out.device()),
               "different collectives");
  check.failed(launch(check.stream(), not_in_own_mask, {1}, {32}, 0, out.device()), "not in its own mask");
  check.failed(launch(check.stream(), lanes_left_early, {1}, {32}, 0, out.device()), "deadlock",
               "threads 0-19 waits at ballot of lanes 0xffffffff", "threads 20-31 finished");
  check.failed(launch(check.stream(), lanes_left_early, {1}, {24}, 0, out.device()),
               "lanes that the block does not have");
}

HB_KERNEL void named_barriers_crossed(uint32_t* out, bool crossed) {
  if (warp() == 0) {
    sync_named(1, 64);
    sync_named(2, 64);
  } else {
    sync_named(crossed ? 2 : 1, 64);
    sync_named(crossed ? 1 : 2, 64);
  }
  out[thread_x()] = 1;
}

HB_KERNEL void named_barrier_counts(uint32_t* out) {
  sync_named(1, warp() == 0 ? 64 : 32);
  out[thread_x()] = 1;
}

HB_TEST(planted_deadlock) {
  Array<uint32_t> out(64);
  check.ran(launch(check.stream(), named_barriers_crossed, {1}, {64}, 0, out.device(), false));
  check.failed(launch(check.stream(), named_barriers_crossed, {1}, {64}, 0, out.device(), true),
               "deadlock in block (0, 0, 0)",
               "threads 0-31 waits at barrier 1 (planted.cu:", "threads 32-63 waits at barrier 2 (planted.cu:");
  check.failed(launch(check.stream(), named_barrier_counts, {1}, {64}, 0, out.device()), "barrier 1 is met with");
}

HB_KERNEL void beyond_shared(float* out, int index) {
  HB_DYN_SMEM(raw);
  float* buffer = reinterpret_cast<float*>(raw);
  if (thread_x() == 3) buffer[index] = 1;
  sync_block();
  out[thread_x()] = buffer[thread_x()];
}

HB_TEST(planted_beyond_shared_memory) {
  Array<float> out(32);
  check.ran(launch(check.stream(), beyond_shared, {1}, {32}, 128, out.device(), 31));
  check.failed(launch(check.stream(), beyond_shared, {1}, {32}, 128, out.device(), 32),
               "beyond the 128 bytes of shared memory", "planted.cu:");
  check.failed(launch(check.stream(), beyond_shared, {1}, {32}, 128, out.device(), 300), "shared memory",
               "planted.cu:");
}

HB_KERNEL void misaligned(const float* in, float* out, int which) {
  HB_DYN_SMEM(raw);
  float v[4] = {};
  uint32_t r[4] = {};
  if (which == 0) load_row(v, in + 1);
  if (which == 1) cp_async16(raw + 8, in);
  if (which == 2) cp_async16(raw, in + 2);
  if (which == 3) ldmatrix_x4(r, raw + 16 * lane() + 4);
  if (which == 4) ldmatrix_x4(r, raw + 32 * lane());
  out[thread_x()] = v[0] + static_cast<float>(r[0]);
}

HB_TEST(planted_misaligned) {
  const Array<float> in(std::vector<float>(64, 1.0f));
  Array<float> out(32);
  for (int which = 0; which < 4; ++which)
    check.failed(launch(check.stream(), misaligned, {1}, {32}, 512, in.device(), out.device(), which), "aligned",
                 "planted.cu:");
  check.failed(launch(check.stream(), misaligned, {1}, {32}, 512, in.device(), out.device(), 4), "ldmatrix",
               "not in the 512 bytes");
}

/// The value goes through shared memory, with something or nothing between write and read.
HB_KERNEL void pass_in_warp(uint32_t* out, int how) {
  HB_DYN_SMEM(raw);
  uint32_t* buffer = reinterpret_cast<uint32_t*>(raw);
  buffer[thread_x()] = thread_x();
  if (how == 0) sync_warp(kAllLanes);
  if (how == 1) (void)ballot(kAllLanes, true);  // lanes meet, but memory is not ordered
  if (how == 2) sync_named(1, threads_x());
  const unsigned from = how == 2 ? threads_x() - 1 - thread_x() : thread_x() ^ 1;
  out[thread_x()] = buffer[from];
}

HB_TEST(planted_collective_as_barrier) {
  Array<uint32_t> out(64);
  check.ran(launch(check.stream(), pass_in_warp, {1}, {64}, 256, out.device(), 0));
  check.failed(launch(check.stream(), pass_in_warp, {1}, {64}, 256, out.device(), 1), "race on byte", "planted.cu:");
  check.ran(launch(check.stream(), pass_in_warp, {1}, {64}, 256, out.device(), 2));
  check.failed(launch(check.stream(), pass_in_warp, {1}, {64}, 256, out.device(), 3), "race on byte", "planted.cu:");
}

HB_KERNEL void count_in_shared(uint32_t* out, bool atomic) {
  HB_DYN_SMEM(raw);
  uint32_t* counter = reinterpret_cast<uint32_t*>(raw);
  if (thread_x() == 0) *counter = 0;
  sync_block();
  if (atomic) {
    atomic_add(counter, 1u);
  } else {
    *counter = *counter + 1;
  }
  sync_block();
  out[thread_x()] = *counter;
}

HB_TEST(planted_plain_counter) {
  Array<uint32_t> out(64);
  check.ran(launch(check.stream(), count_in_shared, {1}, {64}, 4, out.device(), true));
  check.equal(out.read(), std::vector<uint32_t>(64, 64), "counted");
  check.failed(launch(check.stream(), count_in_shared, {1}, {64}, 4, out.device(), false),
               "race on byte 0 of shared memory");
}

/// Arrives at a named barrier and then writes what the waiting warp reads.
HB_KERNEL void write_after_arriving(uint32_t* out, bool late) {
  HB_DYN_SMEM(raw);
  uint32_t* buffer = reinterpret_cast<uint32_t*>(raw);
  if (warp() == 0) {
    if (!late) buffer[lane()] = lane();
    arrive_named(1, 64);
    if (late) buffer[lane()] = lane();
  } else {
    sync_named(1, 64);
    out[lane()] = buffer[lane()];
  }
}

HB_TEST(planted_write_after_arriving) {
  Array<uint32_t> out(32);
  check.ran(launch(check.stream(), write_after_arriving, {1}, {64}, 128, out.device(), false));
  check.failed(launch(check.stream(), write_after_arriving, {1}, {64}, 128, out.device(), true), "race on byte");
}

__attribute__((noinline)) int deep(int n, volatile int* out) {
  volatile char frame[4096];
  frame[0] = static_cast<char>(n);
  return n == 0 ? frame[0] : deep(n - 1, out) + frame[0];
}

HB_KERNEL void recurse(int* out, int depth) { out[thread_x()] = deep(depth, out); }

HB_TEST(planted_stack_overflow) {
  Array<int> out(32);
  check.ran(launch(check.stream(), recurse, {1}, {32}, 0, out.device(), 8));
  check.failed(launch(check.stream(), recurse, {1}, {32}, 0, out.device(), 100), "used up its stack");
}

}  // namespace
}  // namespace hb::cuda::conformance
