#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "runtime/alarm.h"
#include "runtime/dispatch.h"
#include "runtime/flight.h"

namespace hb {

/// One piece of work that the host may cancel as a whole: an answer, a drawing. Its first failure skips what follows of
/// it.
struct Activity {
  std::atomic<bool> cancelled{false};
  RangePtr range;                         ///< its name; null without one
  std::shared_ptr<const Status> failure;  ///< written by the executor, read by others under the context's lock
};
using ActivityPtr = std::shared_ptr<Activity>;

/// Nanoseconds that a job took the last time; 0: not known.
using JobTime = std::atomic<int64_t>;

struct Record {
  int32_t channel;
  int64_t at;  ///< when it was pushed: nanoseconds of a steady clock
  std::vector<uint8_t> bytes;
};

/// One device and one in-order queue with its own executor thread.
class Context {
 public:
  struct Options {
    std::string device = "cpu", isa;
    int threads = 0;  ///< 0: as many as this process may use; a device takes one, the executor
    DeviceOptions on_device{};
  };

  static Status create(const Options& options, std::shared_ptr<Context>* context);
  ~Context();

  using Work = std::function<Status(Dispatcher& dispatcher)>;
  /// Queues work; returns its ticket. If it fails, or its activity has failed or was cancelled, `outputs` are marked.
  /// `range` is for the profiler; `time`, of work that is queued again and again, tells who waits when to look out for
  /// its end.
  uint64_t enqueue(Work work, std::vector<StoragePtr> outputs, ActivityPtr activity, RangePtr range,
                   std::shared_ptr<JobTime> time = nullptr);
  /// The ticket of the newest job.
  uint64_t newest() const;
  uint64_t completed() const;
  /// Jobs that are not done, now and at most so far.
  uint64_t queued() const;
  uint64_t peak_queued() const;
  /// The ticket of the first job that close() cut short or dropped; UINT64_MAX when there is none.
  uint64_t first_dropped() const;

  /// How far off is the end of the ticket's job, or with `ring` a record? A device that is closed gives neither: over.
  enum class Distance { over, near, far };
  Distance distance(uint64_t ticket, bool ring) const;
  /// The same; if it is near, after a moment's look out for it.
  Distance look_out(uint64_t ticket, bool ring) const;
  /// What to call, from a thread of the context, when what is expected has come or may be near, or the context is
  /// closed. Before any work is queued.
  void on_arrival(std::function<void()> tell) { tell_ = std::move(tell); }
  /// Expects the end of the ticket's job, and with `ring` a record, instead of what was expected before: told once.
  /// False, and nothing is expected, when it is over already.
  bool expect(uint64_t ticket, bool ring);
  bool has_records() const;
  std::vector<Record> take_records();
  /// First failure of a job without activity since the last call, or of the given activity.
  std::shared_ptr<const Status> take_failure(const ActivityPtr& activity);
  /// The failure that made a device unusable, if there was one: jobs behind it did not run.
  std::shared_ptr<const Status> lost() const { return flight_ ? flight_->lost() : nullptr; }
  /// Flags that kernels raised since the last call (enum Flag).
  uint32_t take_flags();

  /// Cancels what is queued, waits for the op at work, ends the threads, frees the memory of all tensors. Idempotent.
  void close();
  bool closed() const { return closed_.load(); }

  /// Of tensors: host memory on the cpu, else the device's.
  const std::shared_ptr<Memory>& memory() const { return memory_; }
  /// Host memory beside a device's, for copies and the ring; null on the cpu.
  const std::shared_ptr<Memory>& pinned() const { return pinned_; }
  Profiler& profiler() { return profiler_; }
  Dispatcher& dispatcher() const { return *dispatcher_; }
  /// What a device did so far; zeros on the cpu and once it is closed.
  DeviceCounters device_counters() const;

 private:
  class HostRing;
  struct Job {
    Work work;
    std::vector<StoragePtr> outputs;
    ActivityPtr activity;
    RangePtr range;
    std::shared_ptr<JobTime> time;
  };

  Context() = default;
  Status start(const Backend& backend, int threads);
  void execute();
  bool worth_a_look(bool ring) const;                       ///< with the lock
  Distance distance_now(uint64_t ticket, bool ring) const;  ///< with the lock
  Status perform(Job& job);
  void push_to_flight(std::shared_ptr<const Status> failure, ActivityPtr activity, RangePtr range, bool profiled,
                      int64_t start);
  void finish(const std::shared_ptr<const Status>& failure, const ActivityPtr& activity);

  std::shared_ptr<Memory> memory_, pinned_;
  Profiler profiler_;
  std::unique_ptr<HostRing> ring_;
  std::unique_ptr<DeviceRing> device_ring_;
  std::unique_ptr<Dispatcher> dispatcher_;
  std::unique_ptr<Flight> flight_;  ///< of a device
  std::thread executor_;
  mutable std::mutex mutex_;
  std::mutex closing_;
  std::condition_variable wake_;
  std::function<void()> tell_ = [] {};
  std::unique_ptr<Alarm> alarm_;  ///< none without spare processors
  std::deque<Job> queue_;
  std::deque<Record> records_;
  uint64_t newest_ = 0, completed_ = 0, peak_queued_ = 0, first_dropped_ = UINT64_MAX;
  std::shared_ptr<const Status> failure_;
  uint32_t flags_ = 0;
  bool spare_ = false;             ///< there are processors that this context does not compute on
  uint64_t awaited_ = UINT64_MAX;  ///< what is expected: nobody is woken for less
  bool awaits_records_ = false;
  int64_t told_ = 0;                 ///< when that was last told
  int64_t moved_at_ = 0;             ///< when a job was queued or done
  std::atomic<uint64_t> posted_{0};  ///< newest_, for who looks without the lock
  std::atomic<uint64_t> done_{0};    ///< completed_, likewise
  std::atomic<int64_t> ends_at_{0};  ///< when the job at work should be done (on a device: issued); long ago: not known
  std::atomic<bool> stop_{false}, closed_{false};
};

}  // namespace hb
