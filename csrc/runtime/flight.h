#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "runtime/transfer.h"

namespace hb {

/// Jobs that a device was given and has not done yet. The executor goes on with the next job while earlier ones are at
/// work, so that the device never waits for the host; a thread of the flight waits for them in order.
class Flight {
 public:
  struct Job {
    bool program = false;  ///< long: few are in flight at a time, so that cancelling is felt soon
    std::vector<Transfers::Landing> landings;
    /// Told last, with the failure of the device or success.
    Transfers::Landing landed;
  };

  explicit Flight(std::shared_ptr<Device> device);
  ~Flight() { close(); }

  /// Waits until the device may be given another job. Executor only.
  void wait_for_room();
  /// All that was queued since the last call is this job. Executor only.
  void push(Job job);
  /// Lands what is in flight and ends the thread. When the executor is gone. Idempotent.
  void close();
  /// The failure that made the device unusable, if there was one.
  std::shared_ptr<const Status> lost() const;

 private:
  struct Entry {
    Job job;
    std::unique_ptr<Fence> fence;
    Status queued;  ///< what marking its end in the queue said
  };

  void land();

  const std::shared_ptr<Device> device_;
  std::vector<std::unique_ptr<Fence>> spare_;
  std::deque<Entry> entries_;
  size_t programs_ = 0;
  bool stop_ = false;
  std::shared_ptr<const Status> lost_;
  mutable std::mutex mutex_;
  std::condition_variable pushed_, room_;
  std::thread thread_;
};

}  // namespace hb
