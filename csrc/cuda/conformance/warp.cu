// Collectives of a warp and atomics.
#include "cuda/conformance/kit.h"

namespace hb::cuda::conformance {
namespace {

constexpr int kWarps = 3;
constexpr size_t kThreads = kWarps * 32;

template <class T>
HB_KERNEL void shuffle_all(const T* in, T* out) {
  const unsigned t = thread_x(), n = threads_x();
  const T v = in[t];
  out[t] = shuffle(kAllLanes, v, static_cast<int>(t * 7 + 5));
  out[n + t] = shuffle_xor(kAllLanes, v, 11);
  out[2 * n + t] = shuffle_up(kAllLanes, v, 3);
  out[3 * n + t] = shuffle_down(kAllLanes, v, 9);
  // Both halves of the warp at once, each with its own mask.
  const uint32_t half = lane() < 16 ? 0x0000ffffu : 0xffff0000u;
  out[4 * n + t] = shuffle_xor(half, v, 5);
  if (lane() % 3 == 0) {
    const uint32_t thirds = 0x49249249u;  // lanes 0, 3, .. 30
    out[5 * n + t] = shuffle(thirds, v, 12);
  }
}

template <class T>
void test_shuffles(Check& check, const std::vector<T>& in, T untouched) {
  const Array<T> from(in);
  Array<T> out(std::vector<T>(6 * kThreads, untouched));
  check.ran(launch(check.stream(), shuffle_all<T>, {1}, {kThreads}, 0, from.device(), out.device()));
  std::vector<T> want(6 * kThreads, untouched);
  for (size_t t = 0; t < kThreads; ++t) {
    const size_t first = t / 32 * 32, l = t % 32;
    want[t] = in[first + (t * 7 + 5) % 32];
    want[kThreads + t] = in[first + (l ^ 11)];
    want[2 * kThreads + t] = in[first + (l >= 3 ? l - 3 : l)];
    want[3 * kThreads + t] = in[first + (l + 9 < 32 ? l + 9 : l)];
    want[4 * kThreads + t] = in[first + (l ^ 5)];
    if (l % 3 == 0) want[5 * kThreads + t] = in[first + 12];
  }
  check.equal(out.read(), want, "shuffled");
}

HB_TEST(shuffles) {
  Numbers r(1);
  std::vector<uint32_t> words(kThreads);
  std::vector<float> floats(kThreads);
  std::vector<uint64_t> longs(kThreads);
  std::vector<int32_t> ints(kThreads);
  for (size_t i = 0; i < kThreads; ++i) {
    words[i] = static_cast<uint32_t>(r.bits()), floats[i] = r.unit(), longs[i] = r.bits();
    ints[i] = static_cast<int32_t>(r.bits());
  }
  test_shuffles<uint32_t>(check, words, 0);
  test_shuffles<float>(check, floats, 0);
  test_shuffles<uint64_t>(check, longs, 0);
  test_shuffles<int32_t>(check, ints, 0);
}

HB_KERNEL void vote_all(const uint32_t* in, uint32_t* out) {
  const unsigned t = thread_x(), n = threads_x();
  const uint32_t v = in[t];
  out[t] = ballot(kAllLanes, v & 1);
  out[n + t] = any(kAllLanes, v % 61 == 0) + 2 * all(kAllLanes, v % 61 != 0);
  out[2 * n + t] = match_any(kAllLanes, v % 5);
  out[3 * n + t] = match_any(kAllLanes, static_cast<uint64_t>(v % 3) << 40);
  out[4 * n + t] = reduce_add(kAllLanes, v);
  out[5 * n + t] = reduce_min(kAllLanes, v);
  out[6 * n + t] = reduce_max(kAllLanes, v);
  out[7 * n + t] = static_cast<uint32_t>(reduce_min(kAllLanes, static_cast<int32_t>(v)));
  out[8 * n + t] = static_cast<uint32_t>(reduce_max(kAllLanes, static_cast<int32_t>(v)));
  out[9 * n + t] = reduce_and(kAllLanes, v | 0xff00u);
  out[10 * n + t] = reduce_or(kAllLanes, v & 0xff0fu);
  if (lane() >= 20) {
    const uint32_t upper = 0xfff00000u;
    out[11 * n + t] = ballot(upper, v & 2);
    out[12 * n + t] = reduce_add(upper, v);
    out[13 * n + t] = all(upper, true) + 2 * any(upper, false);
  }
}

HB_TEST(votes_and_reductions) {
  Numbers r(2);
  std::vector<uint32_t> in(kThreads);
  for (auto& v : in) v = static_cast<uint32_t>(r.bits());
  const Array<uint32_t> from(in);
  Array<uint32_t> out(std::vector<uint32_t>(14 * kThreads, 0));
  check.ran(launch(check.stream(), vote_all, {1}, {kThreads}, 0, from.device(), out.device()));
  std::vector<uint32_t> want(14 * kThreads, 0);
  for (size_t first = 0; first < kThreads; first += 32) {
    uint32_t votes = 0, sum = 0, low = ~0u, high = 0, both = ~0u, either = 0, upper_votes = 0, upper_sum = 0;
    int32_t slow = INT32_MAX, shigh = INT32_MIN;
    bool some = false;
    for (size_t l = 0; l < 32; ++l) {
      const uint32_t v = in[first + l];
      votes |= (v & 1) << l, sum += v, low = v < low ? v : low, high = v > high ? v : high;
      const int32_t s = static_cast<int32_t>(v);
      slow = s < slow ? s : slow, shigh = s > shigh ? s : shigh;
      both &= v | 0xff00u, either |= v & 0xff0fu, some = some || v % 61 == 0;
      if (l >= 20) upper_votes |= (v >> 1 & 1) << l, upper_sum += v;
    }
    for (size_t l = 0; l < 32; ++l) {
      const size_t t = first + l;
      uint32_t same5 = 0, same3 = 0;
      for (size_t o = 0; o < 32; ++o) {
        same5 |= static_cast<uint32_t>(in[first + o] % 5 == in[t] % 5) << o;
        same3 |= static_cast<uint32_t>(in[first + o] % 3 == in[t] % 3) << o;
      }
      const uint32_t list[] = {votes,
                               some ? 1u : 2u,
                               same5,
                               same3,
                               sum,
                               low,
                               high,
                               static_cast<uint32_t>(slow),
                               static_cast<uint32_t>(shigh),
                               both,
                               either};
      for (size_t i = 0; i < 11; ++i) want[i * kThreads + t] = list[i];
      if (l >= 20)
        want[11 * kThreads + t] = upper_votes, want[12 * kThreads + t] = upper_sum, want[13 * kThreads + t] = 1;
    }
  }
  check.equal(out.read(), want, "votes");
}

HB_KERNEL void sum_and_max(const float* in, float* out) {
  const float v = in[thread_x()];
  out[thread_x()] = warp_sum(v);
  out[threads_x() + thread_x()] = warp_max(v);
}

HB_TEST(warp_sums) {
  Numbers r(3);
  std::vector<float> in(32);
  for (auto& v : in) v = r.unit();
  const Array<float> from(in);
  Array<float> out(64);
  check.ran(launch(check.stream(), sum_and_max, {1}, {32}, 0, from.device(), out.device()));
  std::vector<float> want(64), s = in;
  for (size_t step = 16; step; step /= 2) {
    std::vector<float> next(32);
    for (size_t l = 0; l < 32; ++l) next[l] = s[l] + s[l ^ step];
    s = next;
  }
  float most = in[0];
  for (float v : in) most = v > most ? v : most;
  for (size_t l = 0; l < 32; ++l) want[l] = s[l], want[32 + l] = most;
  check.equal(out.read(), want, "sum and max");
}

/// Each lane hands its value on through shared memory, one warp at a time.
HB_KERNEL void pass_through_shared(const uint32_t* in, uint32_t* out) {
  HB_DYN_SMEM(raw);
  uint32_t* buffer = reinterpret_cast<uint32_t*>(raw) + 32 * warp();
  uint32_t v = in[thread_x()];
  for (int i = 0; i < 5; ++i) {
    buffer[lane()] = v;
    sync_warp(kAllLanes);
    v = buffer[(lane() + 1) % 32];
    sync_warp(kAllLanes);
  }
  out[thread_x()] = v;
}

HB_TEST(warp_barrier) {
  std::vector<uint32_t> in(kThreads), want(kThreads);
  for (uint32_t i = 0; i < kThreads; ++i) in[i] = i * 17;
  for (uint32_t i = 0; i < kThreads; ++i) want[i] = in[i / 32 * 32 + (i + 5) % 32];
  const Array<uint32_t> from(in);
  Array<uint32_t> out(kThreads);
  check.ran(launch(check.stream(), pass_through_shared, {1}, {kThreads}, kThreads * 4, from.device(), out.device()));
  check.equal(out.read(), want, "passed on");
}

HB_KERNEL void atomics_of_all(uint32_t* words, int32_t* ints, uint64_t* longs, uint32_t* out) {
  HB_DYN_SMEM(raw);
  uint32_t* shared = reinterpret_cast<uint32_t*>(raw);
  const uint32_t i = block_x() * threads_x() + thread_x();
  if (thread_x() == 0) *shared = 0;
  sync_block();
  atomic_add(shared, i);
  atomic_add(words, i);
  atomic_or(words + 1, 1u << i % 29);
  atomic_and(words + 2, ~(1u << i % 13));
  atomic_max(words + 3, i * 2654435761u);
  atomic_min(words + 4, i * 2654435761u);
  atomic_add(ints, -static_cast<int32_t>(i));
  atomic_max(ints + 1, static_cast<int32_t>(i * 2654435761u));
  atomic_min(ints + 2, static_cast<int32_t>(i * 2654435761u));
  atomic_max(longs, static_cast<uint64_t>(i * 2654435761u) << 20);
  atomic_min(longs + 1, static_cast<uint64_t>(i * 2654435761u) << 20);
  // A lock-free counter that goes up by 3.
  uint32_t seen = words[5];
  for (;;) {
    const uint32_t before = atomic_cas(words + 5, seen, seen + 3);
    if (before == seen) break;
    seen = before;
  }
  // Every value that was put in is taken out once, the last one stays.
  out[i] = atomic_exchange(words + 6, i);
  sync_block();
  if (thread_x() == 0) atomic_add(words + 7, *shared);
}

HB_TEST(atomics) {
  constexpr uint32_t kBlocks = 40, kBlock = 64, kAll = kBlocks * kBlock;
  Array<uint32_t> words(std::vector<uint32_t>{0, 0, ~0u, 0, ~0u, 0, ~0u, 0}), out(kAll);
  Array<int32_t> ints(std::vector<int32_t>{0, INT32_MIN, INT32_MAX});
  Array<uint64_t> longs(std::vector<uint64_t>{0, ~uint64_t{0}});
  check.ran(launch(check.stream(), atomics_of_all, {kBlocks}, {kBlock}, 16, words.device(), ints.device(),
                   longs.device(), out.device()));
  uint32_t sum = 0, high = 0, low = ~0u;
  int32_t shigh = INT32_MIN, slow = INT32_MAX;
  for (uint32_t i = 0; i < kAll; ++i) {
    const uint32_t v = i * 2654435761u;
    const int32_t s = static_cast<int32_t>(v);
    sum += i, high = v > high ? v : high, low = v < low ? v : low, shigh = s > shigh ? s : shigh,
              slow = s < slow ? s : slow;
  }
  std::vector<uint32_t> got = words.read();
  std::vector<uint32_t> taken = out.read();
  taken.push_back(got[6]);
  got[6] = 0;
  check.equal(got, {sum, (1u << 29) - 1, ~((1u << 13) - 1), high, low, 3 * kAll, 0, sum}, "words");
  check.equal(ints.read(), {-static_cast<int32_t>(sum), shigh, slow}, "ints");
  check.equal(longs.read(), {uint64_t{high} << 20, uint64_t{low} << 20}, "longs");
  std::vector<uint32_t> seen(kAll + 1, 0);
  for (uint32_t v : taken) ++seen[v < kAll ? v : kAll];
  check.equal(seen, std::vector<uint32_t>(kAll + 1, 1), "times that a value was taken");
}

}  // namespace
}  // namespace hb::cuda::conformance
