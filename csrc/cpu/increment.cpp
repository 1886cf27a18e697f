// Device-side counters: small, on the calling thread.
#include "cpu/kernels.h"

namespace hb::cpu {

Status increment_cpu(const OpContext&, const Increment& a) {
  auto* x = a.x.as<uint32_t>();
  for (int64_t i = 0; i < a.x.dims[0]; ++i) x[i] += static_cast<uint32_t>(a.by);
  return Status::success();
}

}  // namespace hb::cpu
