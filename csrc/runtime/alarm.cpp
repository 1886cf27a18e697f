#include "runtime/alarm.h"

#include "runtime/profiler.h"
#include "runtime/thread_name.h"

namespace hb {

Alarm::Alarm(std::function<void()> ring) : ring_(std::move(ring)), thread_([this] { run(); }) {}

Alarm::~Alarm() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Alarm::set(int64_t at) {
  {
    std::lock_guard lock(mutex_);
    if (at == at_) return;
    at_ = at;
    if (!at) return;  // whoever sleeps may wake up in vain
  }
  wake_.notify_one();
}

void Alarm::run() {
  name_thread("hb-alarm");
  std::unique_lock lock(mutex_);
  while (!stop_) {
    const int64_t left = at_ - now_ns();
    if (!at_) {
      wake_.wait(lock);
    } else if (left > 0) {
      wake_.wait_for(lock, std::chrono::nanoseconds(left));
    } else {
      at_ = 0;
      lock.unlock();
      ring_();
      lock.lock();
    }
  }
}

}  // namespace hb
