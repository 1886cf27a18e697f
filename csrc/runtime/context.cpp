#include "runtime/context.h"

#include "runtime/pause.h"
#include "runtime/thread_name.h"

namespace hb {

namespace {

/// Where this context computes on all processors, waking a thread takes a tenth of a short step. Then, while more work
/// than this waits, nobody is told of records, or after so long at last.
constexpr uint64_t kQueueThatLasts = 2;
constexpr int64_t kTellNs = 2000000;
/// A thread that has slept takes up to a tenth of a millisecond to come back: longer than a step of a small model. So
/// the executor looks out for the next job for a while, and who waits looks out for what is near, or may be, as nobody
/// knows: a moment at a time, with other things to do between. For what is far it is called so early that even a slow
/// thread is back in time. Without a spare processor nobody looks out: what that takes from the work delays the end by
/// more than it gains.
constexpr int64_t kAwakeNs = 300000, kWatchNs = 1000000, kMomentNs = 20000, kNearNs = 800000, kEarlyNs = 400000;
constexpr size_t kMostRecords = 65536;  ///< a host that reads nothing must not eat the memory

/// Returns when `seen()` or when the time is over; gives the core to whoever else wants it.
template <class F>
void watch_for(int64_t ns, F&& seen) {
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
  if (Status s = open_backend(options.device, options.isa, options.on_device, &backend); !s.ok()) return s;
  std::shared_ptr<Context> c(new Context());
  const int threads = backend.gpu ? 1 : options.threads > 0 ? options.threads : usable_threads();
  try {
    if (Status s = c->start(backend, threads); !s.ok()) return s;
  } catch (const std::exception& e) {  // std::thread reports a system without threads this way
    return Status::fail(Code::OUT_OF_MEMORY,
                        std::string("cannot start ") + std::to_string(threads) + " threads: " + e.what());
  }
  *context = std::move(c);
  return Status::success();
}

Status Context::start(const Backend& backend, int threads) {
  ring_ = std::make_unique<HostRing>(*this);
  if (backend.gpu) {
    memory_ = device_memory(backend.gpu);
    pinned_ = pinned_memory(backend.gpu);
    if (Status s = DeviceRing::create(backend.gpu, memory_, pinned_, &device_ring_); !s.ok()) return s;
  } else {
    memory_ = std::make_shared<Memory>();
  }
  dispatcher_ =
      std::make_unique<Dispatcher>(backend, threads, ring_.get(), device_ring_.get(), memory_, pinned_, &profiler_);
  if (backend.gpu) flight_ = std::make_unique<Flight>(backend.gpu);
  spare_ = threads < usable_threads();
  if (spare_) alarm_ = std::make_unique<Alarm>([this] { tell_(); });
  executor_ = std::thread([this] { execute(); });
  return Status::success();
}

Context::~Context() { close(); }

uint64_t Context::enqueue(Work work, std::vector<StoragePtr> outputs, ActivityPtr activity, RangePtr range,
                          std::shared_ptr<JobTime> time) {
  std::lock_guard lock(mutex_);
  queue_.push_back({std::move(work), std::move(outputs), std::move(activity), std::move(range), std::move(time)});
  posted_.store(++newest_, std::memory_order_release);
  moved_at_ = now_ns();
  peak_queued_ = std::max(peak_queued_, newest_ - completed_);
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

uint64_t Context::queued() const {
  std::lock_guard lock(mutex_);
  return newest_ - completed_;
}

uint64_t Context::peak_queued() const {
  std::lock_guard lock(mutex_);
  return peak_queued_;
}

uint64_t Context::first_dropped() const {
  std::lock_guard lock(mutex_);
  return first_dropped_;
}

bool Context::worth_a_look(bool ring) const { return newest_ - completed_ <= kQueueThatLasts || (ring && spare_); }

Context::Distance Context::distance_now(uint64_t ticket, bool ring) const {
  if (completed_ >= ticket || (ring && !records_.empty()) || closed_) return Distance::over;
  if (!spare_ || !worth_a_look(ring)) return Distance::far;
  const int64_t now = now_ns(), ends_at = ends_at_;
  const bool late = now > std::max(ends_at, moved_at_) + kWatchNs;
  return late || ends_at - now > kNearNs ? Distance::far : Distance::near;
}

Context::Distance Context::distance(uint64_t ticket, bool ring) const {
  std::lock_guard lock(mutex_);
  return distance_now(ticket, ring);
}

Context::Distance Context::look_out(uint64_t ticket, bool ring) const {
  const uint64_t done = done_.load(std::memory_order_acquire);
  const Distance first = distance(ticket, ring);
  if (first != Distance::near) return first;
  watch_for(kMomentNs, [&] { return done_.load(std::memory_order_acquire) != done; });
  return distance(ticket, ring);
}

bool Context::expect(uint64_t ticket, bool ring) {
  std::lock_guard lock(mutex_);
  const bool over = distance_now(ticket, ring) == Distance::over;
  awaited_ = over ? UINT64_MAX : ticket, awaits_records_ = !over && ring;
  if (alarm_) {
    const int64_t early = ends_at_ - kEarlyNs;
    const bool wanted = !over && ticket != UINT64_MAX && worth_a_look(ring);
    alarm_->set(wanted && early > now_ns() ? early : 0);
  }
  return !over;
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
  if (flight_)
    if (auto lost = flight_->lost()) return *lost;
  if (job.activity) {
    if (job.activity->cancelled) return cancelled();
    std::lock_guard lock(mutex_);
    if (job.activity->failure) return *job.activity->failure;
  }
  return job.work(*dispatcher_);
}

void Context::execute() {
  name_thread("hb-executor");
  if (dispatcher_->backend().enter) dispatcher_->backend().enter();
  for (uint64_t taken = 0;; ++taken) {
    Job job;
    // a host that answers at once has the next job here before this thread would have fallen asleep and woken up
    watch_for(kAwakeNs, [&] { return posted_.load(std::memory_order_acquire) != taken || stop_; });
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return !queue_.empty() || stop_; });
      if (queue_.empty()) return;
      job = std::move(queue_.front());
      queue_.pop_front();
    }
    if (flight_) flight_->wait_for_room();
    const bool profiled = profiler_.on();
    const int64_t start = profiled || job.time ? now_ns() : 0;
    if (job.time) ends_at_ = *job.time > 0 ? start + *job.time : 0;
    std::shared_ptr<const Status> failure;
    if (Status s = perform(job); !s.ok()) failure = std::make_shared<const Status>(std::move(s));
    if (job.time && !failure) *job.time = now_ns() - start;
    for (const StoragePtr& storage : job.outputs) storage->failure = failure;
    ActivityPtr activity = std::move(job.activity);
    RangePtr range = std::move(job.range);
    job = {};  // lets go of tensors before anybody hears that the job is done
    if (flight_) {
      push_to_flight(std::move(failure), std::move(activity), std::move(range), profiled, start);
      memory_->trim();
      pinned_->trim();
    } else {
      if (profiled) profiler_.add_job(start, now_ns(), std::move(range), activity ? activity->range : nullptr);
      finish(failure, activity);
    }
  }
}

/// A job of a device is done when the device is: then its records are read and whoever waits is told.
void Context::push_to_flight(std::shared_ptr<const Status> failure, ActivityPtr activity, RangePtr range, bool profiled,
                             int64_t start) {
  if (failure && activity) {  // what is queued behind it need not wait to know
    std::lock_guard lock(mutex_);
    if (!activity->failure) activity->failure = failure;
  }
  Dispatcher::Issued issued = dispatcher_->end_job();
  auto landed = [this, failure = std::move(failure), activity = std::move(activity), range = std::move(range), profiled,
                 start, ring_bytes = issued.ring_bytes](const Status& status) {
    device_ring_->land(ring_bytes, *ring_);
    if (profiled) {
      const auto [from, to] = dispatcher_->landed(start);
      profiler_.add_job(from, to, range, activity ? activity->range : nullptr);
    }
    finish(failure || status.ok() ? failure : std::make_shared<const Status>(status), activity);
  };
  flight_->push({issued.program, std::move(issued.landings), std::move(landed)});
}

void Context::finish(const std::shared_ptr<const Status>& failure, const ActivityPtr& activity) {
  bool tell;
  {
    std::lock_guard lock(mutex_);
    if (failure && activity && !activity->failure) activity->failure = failure;
    if (failure && !activity && !failure_) failure_ = failure;
    flags_ |= dispatcher_->take_flags();
    done_.store(++completed_, std::memory_order_release);
    moved_at_ = now_ns();
    if (failure && stop_ && first_dropped_ == UINT64_MAX) first_dropped_ = completed_;
    tell = completed_ >= awaited_;
    if (awaits_records_ && !records_.empty() && !tell) {
      const int64_t next = queue_.empty() || !queue_.front().time ? 0 : queue_.front().time->load();  // 0: not known
      tell = worth_a_look(true) || moved_at_ - told_ >= kTellNs || next == 0 || next > kTellNs;
    }
    if (tell) told_ = moved_at_, awaited_ = UINT64_MAX, awaits_records_ = false;
  }
  if (tell) tell_();  // without the lock, which who is told wants at once
}

DeviceCounters Context::device_counters() const {
  DeviceCounters counters{};
  if (dispatcher_->device()) dispatcher_->device()->counters(&counters);
  return counters;
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
  if (executor_.joinable()) executor_.join();
  std::unique_ptr<Alarm> alarm;
  {
    std::lock_guard lock(mutex_);
    alarm = std::move(alarm_);  // so that nobody sets it any more
  }
  alarm.reset();
  if (flight_) flight_->close();
  if (dispatcher_) dispatcher_->close();
  if (device_ring_) device_ring_->close();
  if (memory_) memory_->close();
  if (pinned_) pinned_->close();
  if (dispatcher_ && dispatcher_->device()) dispatcher_->device()->close();
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
  }
  tell_();
}

}  // namespace hb
