#include "simt/stream.h"

#include <chrono>
#include <utility>

namespace hb::simt {

namespace {

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

Stream::Stream(bool at_once, std::function<void()> before, std::function<void()> after, int fails_at)
    : at_once_(at_once), before_(std::move(before)), after_(std::move(after)), fails_at_(fails_at) {
  if (!at_once_) thread_ = std::thread([this] { loop(); });
}

Stream::~Stream() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Stream::push(Item item) {
  {
    std::lock_guard lock(mutex_);
    items_.push_back(std::move(item));
  }
  wake_.notify_one();
}

/// Work at once fails alone; on a thread its caller is gone, so the stream has failed.
std::string Stream::run(const Work& work) {
  if (++ran_ == fails_at_) return "work " + std::to_string(ran_) + " was to fail";
  before_();
  std::string wrong = work();
  after_();
  return wrong;
}

std::string Stream::submit(Work work) {
  {
    std::lock_guard lock(mutex_);
    if (capture_) {
      capture_->push_back(std::move(work));
      return {};
    }
    if (!failure_.empty()) return failure_;
  }
  if (at_once_) return run(work);
  push({std::move(work), false});
  return {};
}

bool Stream::lost() const {
  std::lock_guard lock(mutex_);
  return !failure_.empty();
}

void Stream::finally(std::function<void()> work) {
  if (at_once_) return work();
  push({[work = std::move(work)] {
          work();
          return std::string();
        },
        true});
}

void Stream::record(const std::shared_ptr<Fence>& fence) {
  {
    std::lock_guard lock(mutex_);
    fence->passed = false;
  }
  finally([this, fence] {
    std::lock_guard lock(mutex_);
    fence->passed = true;
    fence->time_ns = now_ns();
    passed_.notify_all();
  });
}

std::string Stream::wait(const std::shared_ptr<Fence>& fence) {
  std::unique_lock lock(mutex_);
  passed_.wait(lock, [&] { return fence->passed; });
  return failure_;
}

void Stream::abandon() {
  std::lock_guard lock(mutex_);
  abandoned_ = true;
}

bool Stream::dropped() const {
  std::lock_guard lock(mutex_);
  return dropped_;
}

void Stream::begin_capture() {
  std::lock_guard lock(mutex_);
  capture_ = std::make_shared<Graph>();
}

std::shared_ptr<Stream::Graph> Stream::end_capture() {
  std::lock_guard lock(mutex_);
  return std::exchange(capture_, nullptr);
}

std::string Stream::launch(std::shared_ptr<Graph> graph) {
  for (const Work& work : *graph)  // one item each, so that abandon() is felt between two of them
    if (std::string wrong = submit([graph, &work] { return work(); }); !wrong.empty()) return wrong;
  return {};
}

void Stream::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return !items_.empty() || stop_; });
    if (items_.empty()) return;
    Item item = std::move(items_.front());
    items_.pop_front();
    if (!item.always && (abandoned_ || !failure_.empty())) {
      dropped_ = dropped_ || abandoned_;
      lock.unlock();
      item = {};
      lock.lock();
      continue;
    }
    lock.unlock();
    std::string wrong = item.always ? item.work() : run(item.work);
    item = {};
    lock.lock();
    if (!wrong.empty() && failure_.empty()) failure_ = std::move(wrong);
  }
}

}  // namespace hb::simt
