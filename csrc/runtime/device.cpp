#include "runtime/device.h"

#include <iterator>

namespace hb {

Status Device::status_of(DeviceFailure& failure) {
  failure.message[std::size(failure.message) - 1] = 0;
  return Status::fail(static_cast<Code>(failure.code), failure.message);
}

Status Device::open(const DeviceApi* api, const DeviceOptions& options, std::shared_ptr<Device>* device) {
  std::shared_ptr<Device> d(new Device());
  DeviceFailure failure;
  if (!api->open(&options, &d->handle_, &d->info_, &failure)) return status_of(failure);
  d->api_ = api;
  *device = std::move(d);
  return Status::success();
}

void Device::close() {
  std::lock_guard lock(mutex_);
  if (api_ && !closed_) api_->close(handle_);
  closed_ = true;
}

void Device::destroy(void* graph) {
  std::lock_guard lock(mutex_);
  if (!closed_) api_->destroy_graph(handle_, graph);
}

void Device::counters(DeviceCounters* counters) {
  std::lock_guard lock(mutex_);
  *counters = {};
  if (!closed_) api_->counters(handle_, counters);
}

}  // namespace hb
