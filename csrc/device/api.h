#pragma once
// What a device library (hyper_bagel_cuda.so, hyper_bagel_simt.so) gives the runtime, and all that the two know of each
// other. A library exports one C function, `hyper_bagel_device`, which returns the table below. It is opened when a
// context on its device is asked for and never unloaded.
#include <cstddef>
#include <cstdint>

#include "ops/all.h"

namespace hb {

inline constexpr uint32_t kDeviceAbi = 2;
inline constexpr const char* kDeviceEntry = "hyper_bagel_device";

/// A number that differs when the list of ops, their argument structs or the error codes do: arguments cross the border
/// as they lie in memory, so both sides must have been built from the same contracts.
constexpr uint64_t contracts_fingerprint() {
  uint64_t hash = 14695981039346656037ull;  // FNV-1a
  auto byte = [&](uint64_t b) { hash = (hash ^ (b & 255)) * 1099511628211ull; };
  auto number = [&](uint64_t n) {
    for (int i = 0; i < 8; ++i) byte(n >> (8 * i));
  };
  auto text = [&](const char* s) {
    for (; *s; ++s) byte(static_cast<unsigned char>(*s));
    byte(0);
  };
  number(sizeof(TensorView));
#define HB_OP_PRINT(name, type) \
  text(#name);                  \
  number(sizeof(type));
  HB_OPS(HB_OP_PRINT)
#undef HB_OP_PRINT
#define HB_ERROR(name, meaning) text(#name);
#include "core/error_codes.def"
#undef HB_ERROR
  return hash;
}

/// Why a call failed: a Code, and a sentence that ends with a zero byte.
struct DeviceFailure {
  int32_t code;
  char message[1020];
};

/// What a machine has for this library.
struct DeviceInfo {
  char name[128];     ///< of the device, such as a card's
  char driver[32];    ///< version that was found; empty: none is needed
  char required[32];  ///< the oldest driver version that will do
  int32_t count;      ///< devices of this kind
  int32_t arch;       ///< compute capability, 90 for 9.0
  int32_t processors;
  int64_t memory_bytes;
};

struct DeviceOptions {
  int32_t ordinal;   ///< which of several devices
  int32_t arch;      ///< simt: compute capability to be; 0: the newest. cuda: ignored
  uint32_t seed;     ///< simt: order in which threads take turns; 0: in order
  int32_t races;     ///< simt: look for races in shared memory
  int32_t guarded;   ///< simt: work runs at once, and device memory faults when touched outside of it
  int32_t fails_at;  ///< simt: the work of this number, counted from 1, fails; 0: none does
};

inline constexpr int kMostKernelCounters = 16;

/// What a device did so far. A call that synchronises makes a host thread wait for the device.
struct DeviceCounters {
  int64_t launches, graph_launches, copies, fences, synchronising;
  /// simt: what kernels did, of all its devices together; their names, null at the end. cuda: null.
  const char* const* kernel_names;
  int64_t kernels[kMostKernelCounters];
};

/// Handles are made and given back by the library. Functions that may fail return false and fill the failure. Those
/// marked "any thread" may be called from every thread at any time; the others come from one thread at a time, the
/// executor of the context. Work is done in the order of its calls, later than they return.
struct DeviceApi {
  uint32_t abi;    ///< kDeviceAbi
  uint32_t bytes;  ///< sizeof(DeviceApi)
  uint64_t contracts;
  const char* version;  ///< of the package
  const char* device;   ///< "cuda" or "simt"
  /// Blocks are taken in the size that is wanted and go back at once: a device on which an access past the end of a
  /// block is found.
  bool exact_blocks;

  /// BACKEND_MISSING with the reason when there is nothing to open. Any thread.
  bool (*probe)(DeviceInfo* info, DeviceFailure* failure);
  bool (*open)(const DeviceOptions* options, void** device, DeviceInfo* info, DeviceFailure* failure);
  /// Waits for the work at hand; queued work that has not begun may be dropped.
  void (*close)(void* device);
  /// Work that has not begun may be dropped from now on. Any thread.
  void (*abandon)(void* device);

  /// Device memory, aligned to 16 bytes at least; null when there is no more. Any thread.
  void* (*allocate)(void* device, size_t bytes);
  /// What was queued before still has the block. May wait for the device. Any thread.
  void (*release)(void* device, void* block);
  /// Bytes of device memory that nobody has; -1: as many as the host has. Any thread.
  int64_t (*free_memory)(void* device);
  /// Host memory that the device can copy from and to, and that kernels can write, at the same address. Any thread.
  void* (*allocate_host)(void* device, size_t bytes);
  void (*release_host)(void* device, void* block);

  /// Copies in queue order. Host memory is from allocate_host and stays as it is until the copy is done.
  bool (*copy_in)(void* device, void* to, const void* host, size_t bytes, DeviceFailure* failure);
  bool (*copy_out)(void* device, void* host, const void* from, size_t bytes, DeviceFailure* failure);
  bool (*fill)(void* device, void* to, int byte, size_t bytes, DeviceFailure* failure);

  /// A point in the queue, to be recorded any number of times. Any thread.
  void* (*create_fence)(void* device);
  void (*destroy_fence)(void* device, void* fence);
  bool (*record)(void* device, void* fence, DeviceFailure* failure);
  /// Returns once all that was queued before the last record is done. Fails with DEVICE_LOST when some of it failed,
  /// and so does every later call. Any thread.
  bool (*wait)(void* device, void* fence, DeviceFailure* failure);
  /// Nanoseconds of the device between two fences that it has passed.
  int64_t (*elapsed)(void* device, void* from, void* to);

  /// The reason why an op cannot run with these arguments, or null. Any thread.
  const char* (*supports)(int32_t op, const void* args);
  /// Bytes of scratch in device memory that an op needs. Any thread.
  size_t (*workspace)(int32_t op, const void* args);
  /// Queues an op whose views point into device memory.
  bool (*run)(void* device, int32_t op, const void* args, void* scratch, size_t scratch_bytes, DeviceFailure* failure);

  /// From now on ops are noted, not queued. Nothing but run() may be called until the end.
  bool (*begin_capture)(void* device, DeviceFailure* failure);
  /// What was noted, ready to be queued as a whole.
  bool (*end_capture)(void* device, void** graph, DeviceFailure* failure);
  bool (*launch_graph)(void* device, void* graph, DeviceFailure* failure);
  /// Queued launches still run. Any thread.
  void (*destroy_graph)(void* device, void* graph);

  /// Where kernels put records and flags: a RingState in device memory and kFlagWords words of host memory, both of
  /// the caller's (see core/device_ring.h). Before the first op.
  void (*set_ring)(void* device, void* state, uint32_t* flags);

  void (*counters)(void* device, DeviceCounters* counters);
};

}  // namespace hb
