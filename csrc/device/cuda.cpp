// hyper_bagel_cuda.so: the kernels on an NVIDIA card. All CUDA calls of the runtime are here.
#include <cuda_runtime.h>

#include <atomic>
#include <memory>

#include "device/library.h"

namespace hb::device {

namespace {

struct Card {
  int ordinal = 0;
  cudaStream_t stream = nullptr;
  cuda::Device device;
  std::atomic<int64_t> graph_launches{0}, copies{0}, fences{0};
};

Card& of(void* device) { return *static_cast<Card*>(device); }
cudaEvent_t event_of(void* fence) { return static_cast<cudaEvent_t>(fence); }

bool done(DeviceFailure* failure, cudaError_t error, const char* what) {
  if (error == cudaSuccess) return true;
  cudaGetLastError();  // an error that can be forgotten is, now that it is told
  return settle(failure, cuda::status_of(error, what));
}

/// 13000 is 13.0.
std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

/// Calls of any thread name their card first: it is a setting of the thread.
void enter(void* device) { cudaSetDevice(of(device).ordinal); }

bool missing(DeviceFailure* failure, const std::string& text) { return fail(failure, Code::BACKEND_MISSING, text); }

/// The driver serves programs of its own major version: minor versions are compatible.
bool check_driver(DeviceInfo* info, DeviceFailure* failure) {
  int driver = 0;
  *info = {};
  const std::string required = version_text(CUDART_VERSION / 1000 * 1000);
  put(info->required, sizeof info->required, required);
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
    return missing(failure, "no NVIDIA driver was found; CUDA " + required + " or newer is required");
  put(info->driver, sizeof info->driver, version_text(driver));
  if (driver < CUDART_VERSION / 1000 * 1000)
    return missing(failure, "the NVIDIA driver is too old: CUDA " + required +
                                " or newer is required, it serves CUDA " + version_text(driver));
  return true;
}

bool describe(DeviceInfo* info, int ordinal, DeviceFailure* failure) {
  if (!check_driver(info, failure)) return false;
  int count = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess || count == 0)
    return missing(failure, std::string("no NVIDIA card can be used: ") + cudaGetErrorString(error));
  if (ordinal < 0 || ordinal >= count)
    return fail(failure, Code::BAD_OPTION,
                "there is no card " + std::to_string(ordinal) + ", only " + std::to_string(count));
  cudaDeviceProp properties{};
  if (!done(failure, cudaGetDeviceProperties(&properties, ordinal), "properties of the card")) return false;
  put(info->name, sizeof info->name, properties.name);
  info->count = count;
  info->arch = properties.major * 10 + properties.minor;
  info->processors = properties.multiProcessorCount;
  info->memory_bytes = static_cast<int64_t>(properties.totalGlobalMem);
  if (info->arch < 80)
    return missing(failure, std::string(properties.name) + " has compute capability " +
                                std::to_string(properties.major) + "." + std::to_string(properties.minor) +
                                ", 8.0 or newer is required");
  return true;
}

bool probe(DeviceInfo* info, DeviceFailure* failure) {
  if (!describe(info, 0, failure)) return false;
  // Makes the card's primary context, which may take a second, here rather than in open().
  return done(failure, cudaSetDevice(0), "card 0") && done(failure, cudaFree(nullptr), "card 0");
}

bool open(const DeviceOptions* options, void** device, DeviceInfo* info, DeviceFailure* failure) {
  if (!describe(info, options->ordinal, failure)) return false;
  auto card = std::make_unique<Card>();
  card->ordinal = options->ordinal;
  enter(card.get());
  if (!done(failure, cudaStreamCreateWithFlags(&card->stream, cudaStreamNonBlocking), "stream")) return false;
  card->device.stream = card->stream;
  card->device.multiprocessors = info->processors;
  card->device.arch = info->arch;
  *device = card.release();
  return true;
}

void close(void* device) {
  enter(device);
  cudaStreamSynchronize(of(device).stream);
  cudaStreamDestroy(of(device).stream);
  delete &of(device);
}

void* allocate(void* device, size_t bytes) {
  enter(device);
  void* block = nullptr;
  if (cudaMalloc(&block, bytes ? bytes : 1) == cudaSuccess) return block;
  cudaGetLastError();  // it was told by the null
  return nullptr;
}

void* allocate_host(void* device, size_t bytes) {
  enter(device);
  void* block = nullptr;
  if (cudaHostAlloc(&block, bytes ? bytes : 1, cudaHostAllocPortable | cudaHostAllocMapped) == cudaSuccess)
    return block;
  cudaGetLastError();
  return nullptr;
}

template <cudaMemcpyKind kind>
bool copy(void* device, void* to, const void* from, size_t bytes, DeviceFailure* failure) {
  enter(device);
  of(device).copies++;
  return done(failure, cudaMemcpyAsync(to, from, bytes, kind, of(device).stream), "copy");
}

bool fill(void* device, void* to, int byte, size_t bytes, DeviceFailure* failure) {
  enter(device);
  return done(failure, cudaMemsetAsync(to, byte, bytes, of(device).stream), "fill");
}

void* create_fence(void* device) {
  enter(device);
  cudaEvent_t event = nullptr;
  return cudaEventCreateWithFlags(&event, cudaEventBlockingSync) == cudaSuccess ? event : nullptr;
}

bool record(void* device, void* fence, DeviceFailure* failure) {
  enter(device);
  of(device).fences++;
  return done(failure, cudaEventRecord(event_of(fence), of(device).stream), "fence");
}

/// Looks a while before it sleeps: most jobs are shorter than a wake-up.
bool wait(void* device, void* fence, DeviceFailure* failure) {
  constexpr int kLooks = 50;
  enter(device);
  cuda::count_wait();
  cudaError_t error = cudaErrorNotReady;
  for (int i = 0; i < kLooks && error == cudaErrorNotReady; ++i) error = cudaEventQuery(event_of(fence));
  if (error == cudaErrorNotReady) error = cudaEventSynchronize(event_of(fence));
  return done(failure, error, "the card");
}

int64_t elapsed(void* device, void* from, void* to) {
  enter(device);
  float ms = 0;
  return cudaEventElapsedTime(&ms, event_of(from), event_of(to)) == cudaSuccess ? static_cast<int64_t>(ms * 1e6f) : 0;
}

bool run_op(void* device, int32_t op, const void* args, void* scratch, size_t scratch_bytes, DeviceFailure* failure) {
  enter(device);
  return run(of(device).device, op, args, scratch, scratch_bytes, failure);
}

bool begin_capture(void* device, DeviceFailure* failure) {
  enter(device);
  // Other threads may take and give memory meanwhile.
  return done(failure, cudaStreamBeginCapture(of(device).stream, cudaStreamCaptureModeThreadLocal), "capture");
}

bool end_capture(void* device, void** graph, DeviceFailure* failure) {
  enter(device);
  cudaGraph_t captured = nullptr;
  cudaError_t error = cudaStreamEndCapture(of(device).stream, &captured);
  cudaGraphExec_t ready = nullptr;
  if (error == cudaSuccess) error = cudaGraphInstantiate(&ready, captured, 0);
  if (captured) cudaGraphDestroy(captured);
  *graph = ready;
  return done(failure, error, "graph");
}

bool launch_graph(void* device, void* graph, DeviceFailure* failure) {
  enter(device);
  of(device).graph_launches++;
  return done(failure, cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), of(device).stream), "graph");
}

void set_ring(void* device, void* state, uint32_t* flags) {
  of(device).device.ring = static_cast<RingState*>(state);
  of(device).device.flags = flags;
}

void read_counters(void* device, DeviceCounters* counters) {
  const cuda::Door door = cuda::door();
  *counters = {static_cast<int64_t>(door.launches),
               of(device).graph_launches,
               of(device).copies,
               of(device).fences,
               static_cast<int64_t>(door.waits),
               nullptr,
               {}};
}

const DeviceApi kApi = {
    .abi = kDeviceAbi,
    .bytes = sizeof(DeviceApi),
    .contracts = contracts_fingerprint(),
    .version = HB_VERSION,
    .device = "cuda",
    .exact_blocks = false,
    .probe = probe,
    .open = open,
    .close = close,
    .abandon = [](void*) {},  // what the card was given it finishes
    .allocate = allocate,
    .release =
        [](void* device, void* block) {
          enter(device);
          cudaFree(block);
        },
    .free_memory =
        [](void* device) {
          enter(device);
          size_t free = 0, all = 0;
          return cudaMemGetInfo(&free, &all) == cudaSuccess ? static_cast<int64_t>(free) : int64_t{0};
        },
    .allocate_host = allocate_host,
    .release_host =
        [](void* device, void* block) {
          enter(device);
          cudaFreeHost(block);
        },
    .copy_in = copy<cudaMemcpyHostToDevice>,
    .copy_out = copy<cudaMemcpyDeviceToHost>,
    .fill = fill,
    .create_fence = create_fence,
    .destroy_fence =
        [](void* device, void* fence) {
          enter(device);
          cudaEventDestroy(event_of(fence));
        },
    .record = record,
    .wait = wait,
    .elapsed = elapsed,
    .supports = supports,
    .workspace = workspace,
    .run = run_op,
    .begin_capture = begin_capture,
    .end_capture = end_capture,
    .launch_graph = launch_graph,
    .destroy_graph =
        [](void* device, void* graph) {
          enter(device);
          cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph));
        },
    .set_ring = set_ring,
    .counters = read_counters,
};

}  // namespace

}  // namespace hb::device

extern "C" __attribute__((visibility("default"))) const hb::DeviceApi* hyper_bagel_device() {
  return &hb::device::kApi;
}
