#pragma once
#include <memory>
#include <vector>

#include "runtime/call.h"
#include "runtime/profiler.h"
#include "runtime/transfer.h"

namespace hb {

/// The ops of one profiled job on a device: a fence before and behind each, and copies of the integers that its cost
/// depends on, which the host cannot read where they are.
class DeviceTimes {
 public:
  /// By the clock of the host.
  struct Span {
    int64_t start = 0, end = 0;
  };

  explicit DeviceTimes(const Device& device) : device_(device) {}
  /// Before an op is queued, and behind it. Executor only.
  Status begin(const Call& call, Transfers& transfers);
  Status end(const Call& call);
  /// Notes the ops when the job has landed, after its copies. The device's clock is another one: the last op ended
  /// about then. That is known some microseconds late, more or less by job; `after` is the end of the job before, which
  /// no op of this one comes before. Empty without ops.
  Span land(Profiler& profiler, int64_t after);

 private:
  struct Noted;

  Status mark();

  const Device& device_;
  std::vector<Fence> fences_;
  std::vector<std::shared_ptr<Noted>> ops_;
};

}  // namespace hb
