#pragma once
// All that a kernel may use of the device, besides C++ and csrc/core. Each primitive has two bodies: PTX for nvcc in
// nvidia.h, the emulator for any other compiler in emulated.h. Rules for kernels: csrc/cuda/README.md.
//
// Names of macros:
//   HB_KERNEL, HB_DEVICE       a kernel; a function that kernels call
//   HB_BOUNDS(threads, blocks) after the parameters' void: largest block, blocks per multiprocessor wanted
//   HB_UNROLL                  before a loop whose trip count is known: unroll it all
//   HB_ROLLED                  before a loop that should not be unrolled: it is rare, and registers are scarce
//   HB_DYN_SMEM(name)          declares `unsigned char* name`, the block's dynamic shared memory
#include <cstdint>

#include "core/host_device.h"

namespace hb::cuda {

constexpr uint32_t kAllLanes = 0xffffffffu;
constexpr unsigned kWarpLanes = 32;

/// 16 bytes: what the widest load of a thread brings.
struct alignas(16) Vec16 {
  uint32_t word[4];
};

}  // namespace hb::cuda

#ifdef __CUDACC__
#include "cuda/prim/nvidia.h"
#else
#include "cuda/prim/emulated.h"
#endif
#include "cuda/prim/common.h"
