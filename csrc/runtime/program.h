#pragma once
#include <memory>
#include <vector>

#include "runtime/call.h"
#include "runtime/context.h"

namespace hb {

/// A recorded list of ops, one step of something. Its intermediates live in one arena, planned by liveness; its outputs
/// keep their own storage and stay valid until the next run.
class Program : public std::enable_shared_from_this<Program> {
 public:
  /// `outputs`: storages that the program's results live in; every other Out storage of a call is an intermediate.
  static Status create(std::vector<Call> calls, std::vector<StoragePtr> outputs, std::shared_ptr<Memory> memory,
                       const Dispatcher& dispatcher, std::shared_ptr<Program>* program);
  ~Program();

  /// Runs every op in order. `activity` is looked at between ops. On a device the first run captures a graph, and runs
  /// queue it as one. Executor only.
  Status run(Dispatcher& dispatcher, const ActivityPtr& activity);

  const std::vector<StoragePtr>& outputs() const { return outputs_; }
  size_t size() const { return calls_.size(); }
  int64_t arena_bytes() const { return arena_bytes_; }
  int64_t unplanned_bytes() const { return unplanned_bytes_; }
  const std::shared_ptr<JobTime>& time() const { return time_; }

 private:
  Program() = default;
  Status resolve(Dispatcher& dispatcher);
  Status run_calls(Dispatcher& dispatcher, const ActivityPtr& activity);
  Status run_graph(Dispatcher& dispatcher);
  Status capture(Dispatcher& dispatcher);

  std::vector<Call> calls_;
  std::vector<StoragePtr> outputs_;
  std::vector<Storage*> inputs_;  ///< that the calls hold: none may have failed
  std::shared_ptr<JobTime> time_ = std::make_shared<JobTime>(0);
  std::shared_ptr<Memory> memory_;
  void* arena_ = nullptr;
  int64_t arena_class_ = 0, arena_bytes_ = 0, unplanned_bytes_ = 0;
  size_t workspace_ = 0;
  /// On a device a program has scratch of its own, behind the arena's tensors: its graph holds the address.
  std::shared_ptr<Device> device_;
  void* scratch_ = nullptr;
  void* graph_ = nullptr;
  uint64_t ring_bytes_ = 0;
  bool resolved_ = false;
};

}  // namespace hb
