#pragma once
#include <condition_variable>
#include <memory>
#include <mutex>

#include "core/op_context.h"
#include "core/device_ring.h"
#include "runtime/call.h"
#include "runtime/transfer.h"

namespace hb {

/// The host's end of a device's ring: makes room before a job is queued, so that no kernel ever waits for it, and hands
/// records on once the job has landed.
class DeviceRing {
 public:
  static Status create(std::shared_ptr<Device> device, std::shared_ptr<Memory> memory, std::shared_ptr<Memory> pinned,
                       std::unique_ptr<DeviceRing>* ring);
  ~DeviceRing() { close(); }
  void close();

  /// Bytes of the ring that a call may fill; 0 but for `emit`.
  static uint64_t bytes_of(const Call& call);
  /// Waits until a job may fill `bytes`; grows the ring for one that is larger. Executor only.
  Status reserve(uint64_t bytes, Transfers& transfers);
  /// Bytes that the job has reserved since the last call. Executor only.
  uint64_t take_reserved() { return std::exchange(reserved_, 0); }

  /// Pushes the records that are complete, and gives back what a job had reserved. When it has landed.
  void land(uint64_t reserved, Ring& to);
  uint32_t take_flags();

 private:
  DeviceRing() = default;
  Status make_room(uint64_t capacity, Transfers& transfers);

  struct Block {
    void* data = nullptr;
    int64_t bytes = 0;
  };
  void give(const std::shared_ptr<Memory>& memory, Block& block);

  std::shared_ptr<Device> device_;
  std::shared_ptr<Memory> memory_, pinned_;
  Block state_, records_, words_;
  uint64_t capacity_ = 0, reserved_ = 0;  ///< the executor's
  std::mutex mutex_;
  std::condition_variable landed_;
  uint64_t tail_ = 0, outstanding_ = 0;
};

}  // namespace hb
