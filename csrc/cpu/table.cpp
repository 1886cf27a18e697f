#include "cpu/kernels.h"

namespace hb {

namespace {

struct Table {
  Kernel kernels[kOpCount];
};

/// One line per op that this backend has; `W` lines also need scratch.
constexpr Table make() {
  Table t{};
#define HB_K(name, type) t.kernels[static_cast<int>(Op::name)] = {run_as<type, cpu::name##_cpu>, nullptr, nullptr}
#define HB_W(name, type) \
  t.kernels[static_cast<int>(Op::name)] = {run_as<type, cpu::name##_cpu>, workspace_as<type, cpu::name##_workspace>, nullptr}
  HB_K(rms_norm, RmsNorm);
  HB_K(pack_weight, PackWeight);
  HB_W(linear, Linear);
  HB_W(qk_norm_rope_append, QkNormRopeAppend);
  HB_W(paged_attention, PagedAttention);
#undef HB_K
#undef HB_W
  return t;
}

constexpr Table kTable = make();

}  // namespace

const Kernel* cpu_kernel(Op op) { return &kTable.kernels[static_cast<int>(op)]; }

}  // namespace hb
