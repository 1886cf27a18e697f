// What leaves a program, and its counters.
#include "cuda/element.h"

namespace hb::cuda {
namespace {

struct Count {
  uint32_t* x;
  uint32_t by;
  HB_DEVICE void operator()(int64_t i) const { x[i] += by; }
};

constexpr unsigned kEmitThreads = 512;

/// Copies the payload by units of U to where the ring goes on; the buffer is a multiple of every unit long.
template <class U>
HB_DEVICE void write_record(const RingState& ring, const U* payload, int64_t units) {
  const uint64_t first = ring.head + sizeof(RingHeader);
  for (int64_t i = thread_x(); i < units; i += threads_x()) {
    copy_unit(reinterpret_cast<U*>(ring.records + ((first + i * sizeof(U)) & (ring.capacity - 1))), payload + i);
  }
}

/// One block: records have an order, and few are large.
template <class U>
HB_KERNEL void HB_BOUNDS(kEmitThreads, 1)
    emit_kernel(RingState* state, const U* payload, int64_t units, const int32_t* when, int32_t channel) {
  if (when && *when == 0) return;
  const RingState ring = *state;
  write_record(ring, payload, units);
  const RingHeader header{channel, 0, units * sizeof(U)};
  if (thread_x() == 0) *reinterpret_cast<RingHeader*>(ring.records + (ring.head & (ring.capacity - 1))) = header;
  fence_system();  // the host that sees the record announced sees its bytes
  sync_block();
  if (thread_x() > 0) return;
  state->head = ring.head + ring_bytes(header.bytes);
  *ring.published = state->head;
}

}  // namespace

Status increment_cuda(const OpContext& cx, const Increment& a) {
  return each(cx, a.x.dims[0], Count{a.x.as<uint32_t>(), static_cast<uint32_t>(a.by)});
}

Status emit_cuda(const OpContext& cx, const Emit& a) {
  const int64_t bytes = storage_bytes(a.payload);
  return with_unit(
      [&](auto* unit) {
        using U = std::remove_reference_t<decltype(*unit)>;
        const int64_t units = bytes / static_cast<int64_t>(sizeof(U));
        const int64_t whole = (units + kWarpLanes - 1) / kWarpLanes * kWarpLanes;
        const unsigned threads = whole < kWarpLanes     ? kWarpLanes
                                 : whole < kEmitThreads ? static_cast<unsigned>(whole)
                                                        : kEmitThreads;
        return launch(device(cx).stream, emit_kernel<U>, {1}, {threads}, 0, device(cx).ring, a.payload.as<const U>(),
                      units, a.when ? a.when.as<const int32_t>() : nullptr, static_cast<int32_t>(a.channel));
      },
      bytes, address(a.payload));
}

}  // namespace hb::cuda
