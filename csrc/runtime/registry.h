#pragma once
#include <string>
#include <vector>

#include "ops/backend.h"
#include "runtime/device.h"

namespace hb {

/// One backend as the runtime sees it: a table and what the kernels want in OpContext::verbs, or an open device.
struct Backend {
  std::string device;
  std::string isa;  ///< of a device: its architecture, "sm_90"
  const void* verbs = nullptr;
  void (*enter)() = nullptr;  ///< runs once on every thread that runs kernels
  const Kernel* (*kernel)(Op op) = nullptr;
  std::shared_ptr<Device> gpu;  ///< null: tensors are host memory and `kernel` runs ops
};

/// Fails with BACKEND_MISSING for a device that is not there, BAD_OPTION for an unknown one; see cpu/select.h for
/// `isa`, which devices do without.
Status open_backend(const std::string& device, const std::string& isa, const DeviceOptions& options, Backend* backend);

/// What a device other than the cpu has to offer, without opening it. Fails as open_backend(). Loads the device's
/// library, which may take a while.
Status probe_device(const std::string& device, DeviceInfo* info);

struct IsaInfo {
  std::string name;
  bool available, model;
};
std::vector<IsaInfo> instruction_sets();

/// Compute threads that this process may use: affinity, cut by a cgroup's cpu quota to the nearest number, 1 at least.
/// `root` as cgroup_limits() takes it.
int usable_threads(const std::string& root = "");

}  // namespace hb
