#pragma once
#include <string>
#include <vector>

#include "ops/backend.h"

namespace hb {

/// One backend as the runtime sees it: a table and what the kernels want in OpContext::verbs.
struct Backend {
  std::string device;
  std::string isa;
  const void* verbs = nullptr;
  void (*enter)() = nullptr;  ///< runs once on every thread that runs kernels
  const Kernel* (*kernel)(Op op) = nullptr;
};

/// Fails with BACKEND_MISSING for a device that is not there, BAD_OPTION for an unknown one; see cpu/select.h for
/// `isa`.
Status open_backend(const std::string& device, const std::string& isa, Backend* backend);

struct IsaInfo {
  std::string name;
  bool available, model;
};
std::vector<IsaInfo> instruction_sets();

/// Compute threads that this process may use: affinity, cut by a cgroup's cpu quota.
int usable_threads();

}  // namespace hb
