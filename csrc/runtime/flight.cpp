#include "runtime/flight.h"

#include "runtime/thread_name.h"

namespace hb {

namespace {

/// Enough that the device has the next job when one is done, whatever the host is doing: a short op takes microseconds,
/// waking a thread some fifty of them.
constexpr size_t kMostJobs = 64, kMostPrograms = 2;

}  // namespace

Flight::Flight(std::shared_ptr<Device> device) : device_(std::move(device)), thread_([this] { land(); }) {}

void Flight::wait_for_room() {
  std::unique_lock lock(mutex_);
  room_.wait(lock, [&] { return entries_.size() < kMostJobs && programs_ < kMostPrograms; });
}

void Flight::push(Job job) {
  std::unique_ptr<Fence> fence;
  {
    std::lock_guard lock(mutex_);
    if (!spare_.empty()) {
      fence = std::move(spare_.back());
      spare_.pop_back();
    }
  }
  if (!fence) fence = std::make_unique<Fence>(*device_);
  Status queued = fence->record();
  {
    std::lock_guard lock(mutex_);
    programs_ += job.program;
    entries_.push_back({std::move(job), std::move(fence), std::move(queued)});
  }
  pushed_.notify_one();
}

std::shared_ptr<const Status> Flight::lost() const {
  std::lock_guard lock(mutex_);
  return lost_;
}

void Flight::land() {
  name_thread("hb-landing");
  std::unique_lock lock(mutex_);
  for (;;) {
    pushed_.wait(lock, [&] { return !entries_.empty() || stop_; });
    if (entries_.empty()) return;
    Entry& entry = entries_.front();  // stays where it is while others are pushed behind it
    lock.unlock();
    Status status = entry.queued.ok() ? entry.fence->wait() : entry.queued;
    for (const Transfers::Landing& landing : entry.job.landings) landing(status);
    entry.job.landings.clear();
    lock.lock();
    if (!status.ok() && !lost_) lost_ = std::make_shared<const Status>(status);
    lock.unlock();
    entry.job.landed(status);
    lock.lock();
    programs_ -= entry.job.program;
    spare_.push_back(std::move(entry.fence));
    entries_.pop_front();
    room_.notify_one();
  }
}

void Flight::close() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  pushed_.notify_one();
  if (thread_.joinable()) thread_.join();
  spare_.clear();
}

}  // namespace hb
