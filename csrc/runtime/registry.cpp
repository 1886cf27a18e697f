// The only file that knows which backends there are.
#include "runtime/registry.h"

#include <sched.h>

#include <thread>

#include "cpu/kernels.h"
#include "cpu/select.h"
#include "runtime/cgroup.h"
#include "runtime/library.h"

namespace hb {

namespace {

Status unknown(const std::string& device) {
  Status s = Status::mismatch(Code::BAD_OPTION, "device", "cpu or cuda", device);
  s.message = "device must be cpu or cuda, got " + device;
  return s;
}

Status open_library(const std::string& device, const DeviceApi** api) {
  if (device == "cuda") return load_library(device, "build it with: npx hyper-bagel build --cuda", api);
  if (device == "simt") return load_library(device, "the tests of this package build it", api);
  return unknown(device);
}

}  // namespace

Status probe_device(const std::string& device, DeviceInfo* info) {
  const DeviceApi* api = nullptr;
  if (Status s = open_library(device, &api); !s.ok()) return s;
  DeviceFailure failure;
  return api->probe(info, &failure) ? Status::success() : Device::status_of(failure);
}

Status open_backend(const std::string& device, const std::string& isa, const DeviceOptions& options, Backend* backend) {
  if (device != "cpu") {
    const DeviceApi* api = nullptr;
    if (Status s = open_library(device, &api); !s.ok()) return s;
    Backend b;
    if (Status s = Device::open(api, options, &b.gpu); !s.ok()) return s;
    b.device = device;
    b.isa = "sm_" + std::to_string(b.gpu->info().arch);
    *backend = std::move(b);
    return Status::success();
  }
  const cpu::Verbs* verbs = nullptr;
  if (Status s = cpu::select(isa, &verbs); !s.ok()) {
    if (s.message.empty()) s.message = s.operand + " must be " + s.expected + ", got " + s.got;
    return s;
  }
  *backend = {device, verbs->name, verbs, verbs->enter, cpu_kernel, nullptr};
  return Status::success();
}

std::vector<IsaInfo> instruction_sets() {
  std::vector<IsaInfo> list;
  for (const cpu::Isa& isa : cpu::instruction_sets()) list.push_back({isa.verbs->name, isa.runs_here, isa.model});
  return list;
}

int usable_threads(const std::string& root) {
  int threads = static_cast<int>(std::thread::hardware_concurrency());
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) threads = CPU_COUNT(&set);
  const double quota = cgroup_limits(root).cpus;
  if (quota > 0 && quota < threads) threads = static_cast<int>(quota + 0.5);
  return threads < 1 ? 1 : threads > 256 ? 256 : threads;
}

}  // namespace hb
