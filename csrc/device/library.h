#pragma once
// What the libraries of all devices have in common: ops by number, failures without C++ types.
#include <algorithm>
#include <cstring>
#include <exception>
#include <string>

#include "cuda/kernels.h"
#include "cuda/launch.h"
#include "device/api.h"

namespace hb::device {

inline bool fail(DeviceFailure* failure, Code code, const std::string& message) {
  failure->code = static_cast<int32_t>(code);
  const size_t n = std::min(message.size(), sizeof failure->message - 1);
  std::memcpy(failure->message, message.data(), n);
  failure->message[n] = 0;
  return false;
}

inline bool settle(DeviceFailure* failure, const Status& status) {
  return status.ok() || fail(failure, status.code, status.message);
}

inline void put(char* to, size_t size, const std::string& text) {
  const size_t n = std::min(text.size(), size - 1);
  std::memcpy(to, text.data(), n);
  to[n] = 0;
}

inline const char* supports(int32_t op, const void* args) {
  const Kernel* kernel = cuda_kernel(static_cast<Op>(op));
  if (!kernel->run) return "this backend has no kernel for it yet";
  return kernel->supports ? kernel->supports(args) : nullptr;
}

inline size_t workspace(int32_t op, const void* args) {
  const Kernel* kernel = cuda_kernel(static_cast<Op>(op));
  return kernel->workspace ? kernel->workspace(args, 1) : 0;
}

inline bool run(const cuda::Device& device, int32_t op, const void* args, void* scratch, size_t scratch_bytes,
                DeviceFailure* failure) {
  OpContext cx;
  cx.verbs = &device;
  cx.scratch = scratch;
  cx.scratch_bytes = scratch_bytes;
  try {
    return settle(failure, cuda_kernel(static_cast<Op>(op))->run(cx, args));
  } catch (const std::exception& e) {
    return fail(failure, Code::OUT_OF_MEMORY, e.what());
  }
}

}  // namespace hb::device
