#pragma once
#include "runtime/call.h"
#include "runtime/device_ring.h"
#include "runtime/device_times.h"
#include "runtime/pool.h"
#include "runtime/profiler.h"
#include "runtime/registry.h"

namespace hb {

/// The one door to kernels. One per executor thread; binds backend, threads, scratch, ring, memory and profiler.
class Dispatcher {
 public:
  /// `device_ring` and `pinned` are those of a device's context, else null.
  Dispatcher(const Backend& backend, int threads, Ring* ring, DeviceRing* device_ring, std::shared_ptr<Memory> memory,
             std::shared_ptr<Memory> pinned, Profiler* profiler);
  ~Dispatcher();

  /// NOT_SUPPORTED, with the reason, when the backend cannot run this call. Any thread.
  Status supports(const Call& call) const;
  /// Scratch bytes of a call. Any thread.
  size_t workspace(const Call& call) const;
  /// Makes room for scratch. Executor only.
  Status reserve(size_t bytes);
  /// Takes the memory that a call needs and runs it. Executor only.
  Status run_alone(Call& call);
  /// Runs a resolved call whose scratch is reserved; CANCELLED after stop(). On a device the call is queued. Executor
  /// only.
  Status run(const Call& call) { return run(call, scratch_, scratch_bytes_); }
  Status run(const Call& call, void* scratch, size_t scratch_bytes);
  /// Makes room in a device's ring for what the job will emit. Executor only.
  Status reserve_ring(uint64_t bytes) {
    return device_ring_ ? device_ring_->reserve(bytes, transfers_) : Status::success();
  }
  /// On a device: ops are noted until the end, then queued as one by launch(). Executor only.
  Status begin_capture();
  Status end_capture(void** graph);
  Status launch(void* graph);
  Transfers& transfers() { return transfers_; }
  /// The open device, or null on the cpu.
  Device* device() const { return backend_.gpu.get(); }
  bool profiling() const { return profiler_->on(); }
  /// The job at hand is long, and tells so. Executor only.
  void mark_program() { issued_.program = true; }
  /// When a device was at the profiled job that has just landed, by the clock of the host; no two overlap. `queued`:
  /// when the executor began with it. Of the thread that lands jobs.
  DeviceTimes::Span landed(int64_t queued);
  /// What the job that was just queued on a device needs at its landing. Executor only.
  struct Issued {
    bool program = false;
    uint64_t ring_bytes = 0;
    std::vector<Transfers::Landing> landings;
  };
  Issued end_job();
  /// Every later run() fails at once, so that a long program ends with the op at work. Any thread.
  void stop();
  /// Ends the helper threads and lets go of memory. When the executor is gone.
  void close();
  int threads() const { return pool_.workers(); }
  const Backend& backend() const { return backend_; }
  /// Flags that kernels raised since the last call.
  uint32_t take_flags() { return device_ring_ ? device_ring_->take_flags() : std::exchange(flags_, 0); }

 private:
  Status run_here(const Call& call, void* scratch, size_t scratch_bytes);
  Status run_there(const Call& call, void* scratch, size_t scratch_bytes);

  const Backend backend_;
  Pool pool_;
  Serial serial_;
  Ring* ring_;
  DeviceRing* device_ring_;
  std::shared_ptr<Memory> memory_;
  Transfers transfers_;
  Profiler* profiler_;
  void* scratch_ = nullptr;
  size_t scratch_bytes_ = 0;
  int64_t scratch_class_ = 0;
  uint32_t flags_ = 0;
  Issued issued_;
  bool capturing_ = false;
  std::shared_ptr<DeviceTimes> times_;  ///< of the job at hand, while profiled
  DeviceTimes::Span landed_ops_;        ///< of the job that is landing; empty: none were profiled
  int64_t landed_until_ = 0;            ///< end of the last one that has landed
  std::atomic<bool> stopped_{false};
};

}  // namespace hb
