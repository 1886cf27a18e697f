#include "runtime/pool.h"

#include "runtime/pause.h"
#include "runtime/thread_name.h"

namespace hb {

namespace {

constexpr int kSpins = 2000;  ///< some 20 us: the gap between two ops of a program is shorter than waking a thread

}  // namespace

Pool::Pool(int threads, void (*enter)()) {
  try {
    for (int i = 1; i < threads; ++i) helpers_.emplace_back([this, i, enter] { help(i, enter); });
  } catch (...) {  // the system has no more threads: the ones that run must end before they can be let go
    stop();
    throw;
  }
}

Pool::~Pool() { stop(); }

void Pool::stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    round_++;
  }
  wake_.notify_all();
  for (std::thread& t : helpers_) t.join();
  helpers_.clear();
}

void Pool::drain(int worker) {
  for (int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) body_(context_, i, worker);
}

void Pool::help(int worker, void (*enter)()) {
  name_thread("hb-worker");
  if (enter) enter();
  for (uint64_t seen = 0;;) {
    for (int spin = 0; spin < kSpins && round_.load(std::memory_order_acquire) == seen; ++spin) pause();
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return round_.load(std::memory_order_relaxed) != seen; });
      seen = round_.load(std::memory_order_relaxed);
      if (stop_) return;
    }
    drain(worker);
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      std::lock_guard lock(mutex_);
      done_.notify_one();
    }
  }
}

void Pool::run(int64_t count, Body body, void* context) {
  if (count <= 1 || helpers_.empty()) {
    for (int64_t i = 0; i < count; ++i) body(context, i, 0);
    return;
  }
  {
    std::lock_guard lock(mutex_);
    body_ = body, context_ = context, count_ = count;
    next_.store(0, std::memory_order_relaxed);
    busy_.store(static_cast<int>(helpers_.size()), std::memory_order_relaxed);
    round_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  drain(0);
  for (int spin = 0; spin < kSpins && busy_.load(std::memory_order_acquire) > 0; ++spin) pause();
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return busy_.load(std::memory_order_acquire) == 0; });
}

}  // namespace hb
