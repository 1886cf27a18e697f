#include "runtime/context.h"

#include "runtime/pause.h"

namespace hb {

namespace {

constexpr std::chrono::milliseconds kLongestWait{50};
/// While more work than this waits, records may wait too, for so long: waking a thread takes a tenth of a short step.
constexpr size_t kQueueThatLasts = 2;
constexpr int64_t kTellNs = 2000000;
/// A thread that has slept takes up to a tenth of a millisecond to come back: longer than a step of a small model. So
/// the executor looks out for the next job for a while, and who waits for the last of what is queued looks out for its
/// end.
constexpr int64_t kAwakeNs = 300000, kWatchNs = 1000000;
constexpr size_t kMostRecords = 65536;  ///< a host that reads nothing must not eat the memory

/// Returns when `seen()` or when the time is over; gives the core to whoever else wants it.
template <class F>
void look_out(int64_t ns, F&& seen) {
  if (seen()) return;
  for (const int64_t until = now_ns() + ns; now_ns() < until; std::this_thread::yield())
    for (int i = 0; i < 16; ++i) {
      if (seen()) return;
      pause();
    }
}

Status cancelled() { return Status::fail(Code::CANCELLED, "the work was cancelled"); }

}  // namespace

class Context::HostRing final : public Ring {
 public:
  explicit HostRing(Context& context) : context_(context) {}
  void push(int32_t channel, const void* data, size_t bytes) override {
    const auto* p = static_cast<const uint8_t*>(data);
    const int64_t now = now_ns();
    std::lock_guard lock(context_.mutex_);
    if (context_.records_.size() >= kMostRecords) context_.records_.pop_front();
    context_.records_.push_back(
        {channel, now, std::vector<uint8_t>(p, p + bytes)});  // the end of the job tells who waits
  }

 private:
  Context& context_;
};

Status Context::create(const Options& options, std::shared_ptr<Context>* context) {
  Backend backend;
  if (Status s = open_backend(options.device, options.isa, &backend); !s.ok()) return s;
  std::shared_ptr<Context> c(new Context());
  const int threads = options.threads > 0 ? options.threads : usable_threads();
  try {
    c->ring_ = std::make_unique<HostRing>(*c);
    c->dispatcher_ = std::make_unique<Dispatcher>(backend, threads, c->ring_.get(), c->memory_.get(), &c->profiler_);
    c->executor_ = std::thread([raw = c.get()] { raw->execute(); });
  } catch (const std::exception& e) {  // std::thread reports a system without threads this way
    return Status::fail(Code::OUT_OF_MEMORY,
                        std::string("cannot start ") + std::to_string(threads) + " threads: " + e.what());
  }
  *context = std::move(c);
  return Status::success();
}

Context::~Context() { close(); }

uint64_t Context::enqueue(Work work, std::vector<StoragePtr> outputs, ActivityPtr activity) {
  std::lock_guard lock(mutex_);
  queue_.push_back({std::move(work), std::move(outputs), std::move(activity)});
  posted_.store(++newest_, std::memory_order_release);
  wake_.notify_one();
  return newest_;
}

uint64_t Context::newest() const {
  std::lock_guard lock(mutex_);
  return newest_;
}

uint64_t Context::completed() const {
  std::lock_guard lock(mutex_);
  return completed_;
}

uint64_t Context::first_dropped() const {
  std::lock_guard lock(mutex_);
  return first_dropped_;
}

void Context::wait(uint64_t ticket, bool ring) {
  std::unique_lock lock(mutex_);
  awaited_ = ticket, awaits_records_ = ring;
  const auto over = [&] { return completed_ >= ticket || (ring && !records_.empty()) || nudged_ || closed_; };
  if (queue_.size() < kQueueThatLasts && !over()) {
    const uint64_t told = tellings_.load(std::memory_order_acquire);
    lock.unlock();
    look_out(kWatchNs, [&] { return tellings_.load(std::memory_order_acquire) != told; });
    lock.lock();
  }
  progress_.wait_for(lock, kLongestWait, over);
  nudged_ = false;
  awaited_ = UINT64_MAX, awaits_records_ = false;
}

void Context::nudge() {
  std::lock_guard lock(mutex_);
  nudged_ = true;
  ++tellings_;
  progress_.notify_all();
}

bool Context::has_records() const {
  std::lock_guard lock(mutex_);
  return !records_.empty();
}

std::vector<Record> Context::take_records() {
  std::lock_guard lock(mutex_);
  std::vector<Record> list(std::make_move_iterator(records_.begin()), std::make_move_iterator(records_.end()));
  records_.clear();
  return list;
}

std::shared_ptr<const Status> Context::take_failure(const ActivityPtr& activity) {
  std::lock_guard lock(mutex_);
  if (activity) {
    if (!activity->failure && activity->cancelled) return std::make_shared<const Status>(cancelled());
    return activity->failure;
  }
  return std::exchange(failure_, nullptr);
}

uint32_t Context::take_flags() {
  std::lock_guard lock(mutex_);
  return std::exchange(flags_, 0);
}

Status Context::perform(Job& job) {
  if (stop_) return cancelled();
  if (job.activity) {
    if (job.activity->cancelled) return cancelled();
    if (job.activity->failure) return *job.activity->failure;
  }
  return job.work(*dispatcher_);
}

void Context::execute() {
  if (dispatcher_->backend().enter) dispatcher_->backend().enter();
  for (uint64_t taken = 0;; ++taken) {
    Job job;
    // a host that answers at once has the next job here before this thread would have fallen asleep and woken up
    look_out(kAwakeNs, [&] { return posted_.load(std::memory_order_acquire) != taken || stop_; });
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return !queue_.empty() || stop_; });
      if (queue_.empty()) return;
      job = std::move(queue_.front());
      queue_.pop_front();
    }
    const bool profiled = profiler_.on();
    const int64_t start = profiled ? now_ns() : 0;
    std::shared_ptr<const Status> failure;
    if (Status s = perform(job); !s.ok()) failure = std::make_shared<const Status>(std::move(s));
    if (profiled) profiler_.add({-1, start, now_ns(), 0, 0, 0, nullptr});
    for (const StoragePtr& storage : job.outputs) storage->failure = failure;
    const ActivityPtr activity = job.activity;
    job = {};  // lets go of tensors before anybody hears that the job is done
    bool tell;
    {
      std::lock_guard lock(mutex_);
      if (failure && activity && !activity->failure) activity->failure = failure;
      if (failure && !activity && !failure_) failure_ = failure;
      flags_ |= dispatcher_->take_flags();
      ++completed_;
      if (failure && stop_ && first_dropped_ == UINT64_MAX) first_dropped_ = completed_;
      tell = completed_ >= awaited_;
      if (awaits_records_ && !records_.empty())
        tell = tell || queue_.size() <= kQueueThatLasts || now_ns() - told_ >= kTellNs;
      if (tell) told_ = now_ns(), ++tellings_;
    }
    if (tell) progress_.notify_all();  // without the lock, which who wakes up wants at once
  }
}

void Context::close() {
  std::lock_guard closing(closing_);  // the host and its environment's end may both ask for it
  if (closed_) return;
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    if (dispatcher_) dispatcher_->stop();  // none when it could not start its threads
    wake_.notify_all();
  }
  if (executor_.joinable()) {
    executor_.join();
    dispatcher_->close();
    memory_->close();
  }
  std::lock_guard lock(mutex_);
  closed_ = true;
  ++tellings_;
  progress_.notify_all();
}

}  // namespace hb
