#pragma once
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "ops/all.h"

namespace hb {

inline int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// A name for what the host asks for together, such as a layer, within an outer one. Recorded ops keep the range that
/// they were recorded in, jobs the one that they were queued in; each entry into a range is an object of its own.
struct Range {
  std::string name;
  std::shared_ptr<const Range> outer;  ///< null: outermost
};
using RangePtr = std::shared_ptr<const Range>;

/// What the executor did, as a list of events. Off costs one predictable branch per op.
class Profiler {
 public:
  /// `op` below zero: a job of the queue (a program run, a copy), which holds the ops before it that no job holds yet.
  struct Event {
    int op;
    int64_t start, end;
    double flops, bytes;
    int threads;
    std::shared_ptr<const std::string> shape;  ///< null for a job
    RangePtr range;     ///< of an op: in its program, null without one; of a job: what it was queued in
    RangePtr activity;  ///< of a job
  };

#ifdef HB_WITHOUT_PROFILER  // for the test that counts what the calls of this cost
  static constexpr bool on() { return false; }
#else
  bool on() const { return on_.load(std::memory_order_relaxed); }
#endif
  void start() {
    std::lock_guard lock(mutex_);
    events_.clear();
    events_.reserve(kFirst);
    on_ = true;
  }
  std::vector<Event> stop() {
    std::lock_guard lock(mutex_);
    on_ = false;
    return std::move(events_);
  }
  void add(Event&& e) {
    std::lock_guard lock(mutex_);
    if (events_.size() < kMost) events_.push_back(std::move(e));
  }
  void add_job(int64_t start, int64_t end, RangePtr range, RangePtr activity) {
    add({-1, start, end, 0, 0, 0, nullptr, std::move(range), std::move(activity)});
  }

 private:
  static constexpr size_t kMost = 4'000'000, kFirst = 16'384;
  std::atomic<bool> on_{false};
  std::mutex mutex_;
  std::vector<Event> events_;
};

}  // namespace hb
