#pragma once
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "core/op_context.h"

namespace hb {

/// One thread: the caller.
class Serial final : public Parallel {
 public:
  int workers() const override { return 1; }
  void run(int64_t count, Body body, void* context) override {
    for (int64_t i = 0; i < count; ++i) body(context, i, 0);
  }
};

/// The caller and `threads - 1` helpers share a counter; helpers sleep between calls and never spin for long, so that a
/// core taken away by somebody else costs its share and no more.
class Pool final : public Parallel {
 public:
  /// `enter` runs once on every helper thread.
  Pool(int threads, void (*enter)());
  ~Pool() override;
  /// Ends the helpers. No run() may follow. Idempotent.
  void stop();
  int workers() const override { return static_cast<int>(helpers_.size()) + 1; }
  void run(int64_t count, Body body, void* context) override;

 private:
  void help(int worker, void (*enter)());
  void drain(int worker);

  std::vector<std::thread> helpers_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::atomic<uint64_t> round_{0};
  std::atomic<int> busy_{0};
  bool stop_ = false;
  Body body_ = nullptr;
  void* context_ = nullptr;
  int64_t count_ = 0;
  std::atomic<int64_t> next_{0};
};

}  // namespace hb
