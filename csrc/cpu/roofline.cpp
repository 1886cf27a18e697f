#include "cpu/roofline.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#include "cpu/select.h"

namespace hb::cpu {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

constexpr double kMegabyte = 1 << 20;
constexpr double kWindow = 0.006;         ///< seconds of one look at a rate
constexpr int kWindows = 12;              ///< the best counts: others may use the machine too
constexpr int64_t kReadUnit = 256 * 256;  ///< floats per call of read_all: 256 KiB in four streams

/// A buffer that is there page by page before anybody reads it.
class Buffer {
 public:
  explicit Buffer(size_t bytes) : bytes_(bytes) {
    p_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p_ == MAP_FAILED) {
      p_ = nullptr;
      return;
    }
#ifdef MADV_HUGEPAGE
    madvise(p_, bytes, MADV_HUGEPAGE);  // else the cost of small pages is measured, not memory
#endif
  }
  ~Buffer() {
    if (p_) munmap(p_, bytes_);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  float* data() const { return static_cast<float*>(p_); }

 private:
  size_t bytes_;
  void* p_;
};

/// Runs `body(thread)` on `threads` fresh threads that start together, and joins them.
void together(const Verbs& verbs, int threads, const std::function<void(int)>& body) {
  std::atomic<int> waiting{threads};
  auto run = [&](int i) {
    if (verbs.enter) verbs.enter();
    waiting.fetch_sub(1);
    while (waiting.load() > 0) std::this_thread::yield();
    body(i);
  };
  std::vector<std::thread> list;
  for (int i = 0; i < threads; ++i) list.emplace_back(run, i);
  for (std::thread& t : list) t.join();
}

/// The best rate that all threads reached together in a window: `step(thread)` does some work and returns how much.
double best_rate(const Verbs& verbs, int threads, const std::function<double(int)>& step) {
  double best = 0;
  for (int window = 0; window < kWindows; ++window) {
    std::vector<double> rates(static_cast<size_t>(threads));
    together(verbs, threads, [&](int i) {
      const Clock::time_point start = Clock::now();
      double done = 0, elapsed = 0;
      do done += step(i);
      while ((elapsed = seconds_since(start)) < kWindow);
      rates[static_cast<size_t>(i)] = done / elapsed;
    });
    double sum = 0;
    for (double r : rates) sum += r;
    best = std::max(best, sum);
  }
  return best;
}

Rates rates(const Verbs& verbs, int threads, const std::function<double(int)>& step) {
  Rates r;
  r.one = best_rate(verbs, 1, step);
  r.all = threads > 1 ? std::max(r.one, best_rate(verbs, threads, step)) : r.one;
  return r;
}

/// Rounds of a peak loop that take about a millisecond.
int64_t calibrate(double (*peak)(int64_t, float*)) {
  float sink = 0;
  for (int64_t rounds = 16;; rounds *= 4) {
    const Clock::time_point start = Clock::now();
    if (peak(rounds, &sink) == 0) return 0;
    if (seconds_since(start) > 5e-4) return rounds;
  }
}

Rates peak_rates(const Verbs& verbs, int threads, double (*peak)(int64_t, float*)) {
  int64_t rounds = 0;
  together(verbs, 1, [&](int) { rounds = calibrate(peak); });
  if (rounds == 0) return {};
  return rates(verbs, threads, [=](int) {
    float sink = 0;
    return peak(rounds, &sink);
  });
}

double cache_bytes() {
#ifdef _SC_LEVEL3_CACHE_SIZE
  const long l3 = sysconf(_SC_LEVEL3_CACHE_SIZE), l2 = sysconf(_SC_LEVEL2_CACHE_SIZE);
  return static_cast<double>(std::max(0L, std::max(l2, l3)));
#else
  return 0;
#endif
}

/// Half of a core's second level, where it is known.
int64_t l2_units() {
#ifdef _SC_LEVEL2_CACHE_SIZE
  return std::max<int64_t>(1, sysconf(_SC_LEVEL2_CACHE_SIZE) / 2 / (kReadUnit * 4));
#else
  return 1;
#endif
}

/// Every thread goes round its own part of the buffer: `units` of it each.
Rates read_rates(const Verbs& verbs, int threads, const float* buffer, int64_t units) {
  std::vector<int64_t> next(static_cast<size_t>(threads));
  for (int i = 0; i < threads; ++i) next[static_cast<size_t>(i)] = i * units;
  auto step = [&](int i, int64_t first, int64_t count) {
    int64_t& at = next[static_cast<size_t>(i)];
    volatile float sink = verbs.read_all(buffer + at * kReadUnit, kReadUnit);
    (void)sink;
    if (++at == first + count) at = first;
    return static_cast<double>(kReadUnit * 4);
  };
  Rates r;
  // one thread reads all of it, so that no part fits in a cache
  r.one = best_rate(verbs, 1, [&](int) { return step(0, 0, units * threads); });
  for (int i = 0; i < threads; ++i) next[static_cast<size_t>(i)] = i * units;
  r.all = threads > 1 ? std::max(r.one, best_rate(verbs, threads, [&](int i) { return step(i, i * units, units); }))
                      : r.one;
  return r;
}

}  // namespace

Status measure_roofline(const std::string& isa, int threads, double memory_limit, Roofline* result) {
  const Verbs* verbs = nullptr;
  if (Status s = select(isa, &verbs); !s.ok()) return s;
  const Clock::time_point start = Clock::now();
  Roofline r;
  r.isa = verbs->name;
  r.threads = threads = std::max(1, threads);
  r.cache = cache_bytes();

  // twice the last-level cache, so that no more than half of it can come from there
  const double wanted = std::max(256 * kMegabyte, 2 * r.cache);
  const double bytes = std::max(16 * kMegabyte, std::min(wanted, memory_limit));
  const int64_t units = std::max<int64_t>(l2_units(), static_cast<int64_t>(bytes) / threads / (kReadUnit * 4));
  const size_t total = static_cast<size_t>(units) * static_cast<size_t>(threads) * kReadUnit * 4;
  const Buffer buffer(total);
  if (!buffer.data())
    return Status::fail(Code::OUT_OF_MEMORY, "no memory for a buffer of " + std::to_string(total) + " bytes");
  r.memory_buffer = static_cast<double>(total);
  together(*verbs, threads, [&](int i) {
    constexpr int64_t kPageFloats = 4096 / 4;
    float* part = buffer.data() + i * units * kReadUnit;
    for (int64_t at = 0; at < units * kReadUnit; at += kPageFloats) part[at] = 1;
  });

  r.f32_flops = peak_rates(*verbs, threads, verbs->peak_f32);
  r.dot_flops = peak_rates(*verbs, threads, verbs->peak_dot);
  r.memory_bytes = read_rates(*verbs, threads, buffer.data(), units);
  r.l2_buffer = static_cast<double>(l2_units() * kReadUnit * 4);
  r.l2_bytes = rates(*verbs, threads, [&](int i) {
    for (int64_t u = 0; u < l2_units(); ++u) {
      volatile float sink = verbs->read_all(buffer.data() + (i * units + u) * kReadUnit, kReadUnit);
      (void)sink;
    }
    return static_cast<double>(l2_units() * kReadUnit * 4);
  });
  r.seconds = seconds_since(start);
  *result = std::move(r);
  return Status::success();
}

}  // namespace hb::cpu
