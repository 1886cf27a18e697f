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

/// What the executor did, as a list of events. Off costs one predictable branch per op.
class Profiler {
 public:
  /// `op` below zero: a job of the queue (a program run, a copy), which holds the ops that follow within it.
  struct Event {
    int op;
    int64_t start, end;
    double flops, bytes;
    int threads;
    std::shared_ptr<const std::string> shape;  ///< null for a job
  };

  bool on() const { return on_.load(std::memory_order_relaxed); }
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
  void add(Event e) {
    std::lock_guard lock(mutex_);
    if (events_.size() < kMost) events_.push_back(std::move(e));
  }

 private:
  static constexpr size_t kMost = 4'000'000, kFirst = 16'384;
  std::atomic<bool> on_{false};
  std::mutex mutex_;
  std::vector<Event> events_;
};

}  // namespace hb
