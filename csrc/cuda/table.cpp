#include "cuda/kernels.h"

namespace hb {

namespace {

struct Table {
  Kernel kernels[kOpCount];
};

/// One line per op that this backend has; `W` lines also need scratch.
constexpr Table make() {
  Table t{};
#define HB_K(name, type) t.kernels[static_cast<int>(Op::name)] = {run_as<type, cuda::name##_cuda>, nullptr, nullptr}
#define HB_W(name, type)                                                    \
  t.kernels[static_cast<int>(Op::name)] = {run_as<type, cuda::name##_cuda>, \
                                           workspace_as<type, cuda::name##_workspace>, nullptr}
  HB_K(rms_norm, RmsNorm);
#undef HB_K
#undef HB_W
  return t;
}

constexpr Table kTable = make();

}  // namespace

const Kernel* cuda_kernel(Op op) { return &kTable.kernels[static_cast<int>(op)]; }

}  // namespace hb
