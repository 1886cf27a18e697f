#pragma once
// The one door through which kernels are launched and the host waits: cudaLaunchKernelEx under nvcc, the emulator under
// any other compiler. Return codes are checked here. Included by host code of kernel files.
#include <cstdint>
#include <source_location>
#include <string>
#include <tuple>
#include <utility>

#include "core/status.h"

#ifdef __CUDACC__
#include <cuda_runtime_api.h>
#else
#include "simt/launch.h"
#endif

namespace hb::cuda {

/// What went through the door since the library was loaded. Tests read it: no step of a model may wait for the host.
struct Door {
  uint64_t launches, waits;
};
Door door();
void count_launch();
/// Whoever makes the host wait for the device says so.
void count_wait();

/// Blocks of a grid, or threads of a block.
struct Extent {
  unsigned x = 1, y = 1, z = 1;
};

/// The stream of a launch, and where it was launched from, which reports name.
struct Stream {
  void* handle;
  std::source_location site;
  Stream(void* stream, std::source_location where = std::source_location::current()) : handle(stream), site(where) {}
};

#ifdef __CUDACC__

inline Status status_of(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return Status::success();
  return Status::fail(error == cudaErrorMemoryAllocation ? Code::OUT_OF_MEMORY : Code::DEVICE_LOST,
                      std::string(what) + ": " + cudaGetErrorString(error));
}

/// Queues a kernel on a stream. `shared_bytes`: dynamic shared memory of a block.
template <class... P, class... A>
Status launch(Stream stream, void (*kernel)(P...), Extent grid, Extent block, size_t shared_bytes, A&&... arguments) {
  constexpr size_t kWithoutAsking = 48 * 1024;
  if (shared_bytes > kWithoutAsking) {
    const cudaError_t error =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
    if (error != cudaSuccess) return status_of(error, "shared memory of a kernel");
  }
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(grid.x, grid.y, grid.z);
  config.blockDim = dim3(block.x, block.y, block.z);
  config.dynamicSmemBytes = shared_bytes;
  config.stream = static_cast<cudaStream_t>(stream.handle);
  count_launch();
  return status_of(cudaLaunchKernelEx(&config, kernel, static_cast<P>(std::forward<A>(arguments))...),
                   stream.site.function_name());
}

#else

/// Runs a kernel at once, or queues it where the stream has a queue. What the emulator finds wrong is the error.
template <class... P, class... A>
Status launch(Stream stream, void (*kernel)(P...), Extent grid, Extent block, size_t shared_bytes, A&&... arguments) {
  struct Work {
    void (*kernel)(P...);
    std::tuple<P...> arguments;
  };
  const simt::Options options = stream.handle ? *static_cast<const simt::Options*>(stream.handle) : simt::Options();
  const simt::Launch launch{{grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, shared_bytes, stream.site};
  auto run = [launch, options, work = Work{kernel, {static_cast<P>(std::forward<A>(arguments))...}}]() mutable {
    return simt::launch(
        launch,
        [](void* context) {
          const Work& w = *static_cast<const Work*>(context);
          std::apply(w.kernel, w.arguments);
        },
        &work, options);
  };
  count_launch();
  std::string wrong = options.queue ? options.queue->submit(std::move(run)) : run();
  return wrong.empty() ? Status::success() : Status::fail(Code::INTERNAL, std::move(wrong));
}

#endif

}  // namespace hb::cuda
