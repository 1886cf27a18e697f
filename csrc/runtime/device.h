#pragma once
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "core/status.h"
#include "device/api.h"

namespace hb {

/// An open device of a library: the table of device/api.h with Status for failures.
class Device {
 public:
  static Status open(const DeviceApi* api, const DeviceOptions& options, std::shared_ptr<Device>* device);
  ~Device() { close(); }
  /// Waits for the work at hand. Nothing but destroy() may follow. Idempotent.
  void close();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const DeviceApi& api() const { return *api_; }
  void* handle() const { return handle_; }
  const DeviceInfo& info() const { return info_; }

  /// Calls a function of the table that may fail: `device.call(api.copy_in, to, from, bytes)`.
  template <class F, class... A>
  Status call(F function, A... arguments) const {
    DeviceFailure failure;
    return function(handle_, arguments..., &failure) ? Status::success() : status_of(failure);
  }
  static Status status_of(DeviceFailure& failure);
  /// Gives a graph back, which handles may hold longer than the device is open. Any thread.
  void destroy(void* graph);
  /// Zeros once closed. Any thread.
  void counters(DeviceCounters* counters);

 private:
  Device() = default;
  const DeviceApi* api_ = nullptr;
  void* handle_ = nullptr;
  DeviceInfo info_{};
  std::mutex mutex_;
  bool closed_ = false;
};

/// A fence of a device, given back with its owner.
class Fence {
 public:
  explicit Fence(const Device& device) : device_(&device), fence_(device.api().create_fence(device.handle())) {}
  ~Fence() {
    if (fence_) device_->api().destroy_fence(device_->handle(), fence_);
  }
  Fence(Fence&& other) noexcept : device_(other.device_), fence_(std::exchange(other.fence_, nullptr)) {}
  Fence& operator=(Fence&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(fence_, other.fence_);
    return *this;
  }

  /// Later work stands behind the point that this marks. Executor only.
  Status record() { return fence_ ? device_->call(device_->api().record, fence_) : none(); }
  Status wait() { return fence_ ? device_->call(device_->api().wait, fence_) : none(); }
  int64_t since(const Fence& earlier) const {
    return device_->api().elapsed(device_->handle(), earlier.fence_, fence_);
  }

 private:
  static Status none() { return Status::fail(Code::OUT_OF_MEMORY, "the device has no more fences"); }
  const Device* device_;
  void* fence_;
};

}  // namespace hb
