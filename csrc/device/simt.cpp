// hyper_bagel_simt.so: the kernels on the emulator, for tests. A card in every respect but speed: work is queued, done
// later than the call returns, and programs are graphs.
#include <cstdlib>
#include <iterator>

#include "device/library.h"
#include "simt/heap.h"
#include "simt/stream.h"

namespace hb::device {

namespace {

constexpr int kProcessors = 4;

struct Simt {
  explicit Simt(const DeviceOptions& options)
      : heap(options.guarded != 0),
        stream(options.guarded != 0, [this] { heap.open(); }, [this] { heap.close(); }, options.fails_at) {
    launches.seed = options.seed;
    launches.races = options.races != 0;
    launches.queue = &stream;
    device.stream = &launches;
    device.multiprocessors = kProcessors;
    device.arch = options.arch;
  }
  simt::Heap heap;
  simt::Stream stream;
  simt::Options launches;
  cuda::Device device;
  std::atomic<int64_t> graph_launches{0}, copies{0}, fences{0};
};

Simt& of(void* device) { return *static_cast<Simt*>(device); }

using FencePtr = std::shared_ptr<simt::Fence>;
FencePtr& fence_of(void* fence) { return *static_cast<FencePtr*>(fence); }
using GraphPtr = std::shared_ptr<simt::Stream::Graph>;

void describe(DeviceInfo* info, int arch) {
  *info = {};
  put(info->name, sizeof info->name, "emulator");
  info->count = 1;
  info->arch = arch;
  info->processors = kProcessors;
}

bool probe(DeviceInfo* info, DeviceFailure*) {
  describe(info, 90);
  return true;
}

bool open(const DeviceOptions* options, void** device, DeviceInfo* info, DeviceFailure* failure) {
  DeviceOptions o = *options;
  if (o.arch == 0) o.arch = 90;
  if (o.arch != 80 && o.arch != 90) return fail(failure, Code::BAD_OPTION, "arch must be 80 or 90");
  describe(info, o.arch);
  *device = new Simt(o);
  return true;
}

/// Nothing waits for failures of work any more; what it found wrong is told by those fences that were waited for.
bool settle(DeviceFailure* failure, const std::string& wrong) {
  return wrong.empty() || fail(failure, Code::DEVICE_LOST, wrong);
}

bool copy(void* device, void* to, const void* from, size_t bytes, DeviceFailure* failure) {
  of(device).copies++;
  return settle(failure, of(device).stream.submit([=] {
    std::memcpy(to, from, bytes);
    return std::string();
  }));
}

bool wait(void* device, void* fence, DeviceFailure* failure) {
  cuda::count_wait();
  if (!settle(failure, of(device).stream.wait(fence_of(fence)))) return false;
  return !of(device).stream.dropped() || fail(failure, Code::CANCELLED, "the work was cancelled");
}

/// Work that failed earlier is no fault of this op: the device is lost.
bool run_op(void* device, int32_t op, const void* args, void* scratch, size_t scratch_bytes, DeviceFailure* failure) {
  if (run(of(device).device, op, args, scratch, scratch_bytes, failure)) return true;
  if (of(device).stream.lost()) failure->code = static_cast<int32_t>(Code::DEVICE_LOST);
  return false;
}

constexpr const char* kKernelNames[] = {
#define HB_COUNTER(name) #name,
    HB_SIMT_COUNTERS(HB_COUNTER)
#undef HB_COUNTER
        nullptr};

void read_counters(void* device, DeviceCounters* counters) {
  const cuda::Door door = cuda::door();
  const Simt& simt = of(device);
  *counters = {static_cast<int64_t>(door.launches), simt.graph_launches, simt.copies, simt.fences,
               static_cast<int64_t>(door.waits),    kKernelNames,        {}};
  const simt::Counters kernels = simt::counters();
  int i = 0;
  static_assert(std::size(kKernelNames) <= kMostKernelCounters);
#define HB_COUNTER(name) counters->kernels[i++] = static_cast<int64_t>(kernels.name);
  HB_SIMT_COUNTERS(HB_COUNTER)
#undef HB_COUNTER
}

const DeviceApi kApi = {
    .abi = kDeviceAbi,
    .bytes = sizeof(DeviceApi),
    .contracts = contracts_fingerprint(),
    .version = HB_VERSION,
    .device = "simt",
    .exact_blocks = true,
    .probe = probe,
    .open = open,
    .close = [](void* device) { delete &of(device); },
    .abandon = [](void* device) { of(device).stream.abandon(); },
    .allocate = [](void* device, size_t bytes) { return of(device).heap.take(bytes); },
    .release = [](void* device, void* block) { of(device).stream.finally([=] { of(device).heap.give(block); }); },
    .free_memory = [](void*) -> int64_t { return -1; },
    .allocate_host = [](void*, size_t bytes) { return std::malloc(bytes); },
    .release_host = [](void*, void* block) { std::free(block); },
    .copy_in = copy,
    .copy_out = copy,
    .fill =
        [](void* device, void* to, int byte, size_t bytes, DeviceFailure* failure) {
          return settle(failure, of(device).stream.submit([=] {
            std::memset(to, byte, bytes);
            return std::string();
          }));
        },
    .create_fence = [](void*) -> void* { return new FencePtr(std::make_shared<simt::Fence>()); },
    .destroy_fence = [](void*, void* fence) { delete &fence_of(fence); },
    .record =
        [](void* device, void* fence, DeviceFailure*) {
          of(device).fences++;
          of(device).stream.record(fence_of(fence));
          return true;
        },
    .wait = wait,
    .elapsed = [](void*, void* from, void* to) { return fence_of(to)->time_ns - fence_of(from)->time_ns; },
    .supports = supports,
    .workspace = workspace,
    .run = run_op,
    .begin_capture =
        [](void* device, DeviceFailure*) {
          of(device).stream.begin_capture();
          return true;
        },
    .end_capture =
        [](void* device, void** graph, DeviceFailure*) {
          *graph = new GraphPtr(of(device).stream.end_capture());
          return true;
        },
    .launch_graph =
        [](void* device, void* graph, DeviceFailure* failure) {
          of(device).graph_launches++;
          return settle(failure, of(device).stream.launch(*static_cast<GraphPtr*>(graph)));
        },
    .destroy_graph = [](void*, void* graph) { delete static_cast<GraphPtr*>(graph); },
    .set_ring =
        [](void* device, void* state, uint32_t* flags) {
          of(device).device.ring = static_cast<RingState*>(state);
          of(device).device.flags = flags;
        },
    .counters = read_counters,
};

}  // namespace

}  // namespace hb::device

extern "C" __attribute__((visibility("default"))) const hb::DeviceApi* hyper_bagel_device() {
  return &hb::device::kApi;
}
