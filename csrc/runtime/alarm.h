#pragma once
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

namespace hb {

/// A thread that calls `ring` at a time that was set. It sleeps until then, so it serves where a processor is spare.
class Alarm {
 public:
  /// @throws std::system_error when the system has no more threads
  explicit Alarm(std::function<void()> ring);
  ~Alarm();
  /// In nanoseconds of now_ns(), instead of any earlier setting; 0: never.
  void set(int64_t at);

 private:
  void run();

  std::function<void()> ring_;
  std::mutex mutex_;
  std::condition_variable wake_;
  int64_t at_ = 0;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace hb
