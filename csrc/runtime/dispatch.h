#pragma once
#include "runtime/call.h"
#include "runtime/pool.h"
#include "runtime/profiler.h"
#include "runtime/registry.h"

namespace hb {

/// The one door to kernels. One per executor thread; binds backend, threads, scratch, ring, memory and profiler.
class Dispatcher {
 public:
  Dispatcher(const Backend& backend, int threads, Ring* ring, Memory* memory, Profiler* profiler);
  ~Dispatcher();

  /// NOT_SUPPORTED, with the reason, when the backend cannot run this call. Any thread.
  Status supports(const Call& call) const;
  /// Scratch bytes of a call. Any thread.
  size_t workspace(const Call& call) const;
  /// Makes room for scratch. Executor only.
  Status reserve(size_t bytes);
  /// Runs a resolved call whose scratch is reserved; CANCELLED after stop(). Executor only.
  Status run(const Call& call);
  /// Every later run() fails at once, so that a long program ends with the op at work. Any thread.
  void stop() { stopped_ = true; }
  /// Ends the helper threads. When the executor is gone.
  void close() { pool_.stop(); }
  int threads() const { return pool_.workers(); }
  const Backend& backend() const { return backend_; }
  /// Flags that kernels raised since the last call.
  uint32_t take_flags() {
    const uint32_t f = flags_;
    flags_ = 0;
    return f;
  }

 private:
  const Backend backend_;
  Pool pool_;
  Serial serial_;
  Ring* ring_;
  Memory* memory_;
  Profiler* profiler_;
  void* scratch_ = nullptr;
  size_t scratch_bytes_ = 0;
  int64_t scratch_class_ = 0;
  uint32_t flags_ = 0;
  std::atomic<bool> stopped_{false};
};

}  // namespace hb
