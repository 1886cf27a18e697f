// Device-side counters: small, on the calling thread.
#include "cpu/kernels.h"

namespace hb::cpu {

namespace {

/// Adds with wrap-around.
int32_t plus(int32_t x, int64_t by) {
  return static_cast<int32_t>(static_cast<uint32_t>(x) + static_cast<uint32_t>(by));
}

}  // namespace

Status increment_cpu(const OpContext&, const Increment& a) {
  auto* x = a.x.as<int32_t>();
  for (int64_t i = 0; i < a.x.dims[0]; ++i) x[i] = plus(x[i], a.by);
  return Status::success();
}

Status decode_advance_cpu(const OpContext&, const DecodeAdvance& a) {
  const int64_t n = a.token.dims[0], stops = a.stop.dims[0];
  const auto *token = a.token.as<const int32_t>(), *stop = a.stop.as<const int32_t>(),
             *limit = a.limit.as<const int32_t>();
  auto *output = a.output.as<int32_t>(), *finished = a.finished.as<int32_t>(), *event = a.event.as<int32_t>();
  bool running = false;
  for (int64_t i = 0; i < n; ++i, event += 4) {
    event[0] = -1, event[1] = output[i], event[2] = finished[i], event[3] = 0;
    if (finished[i]) continue;
    const int32_t t = token[i];
    bool stopped = false;
    for (int64_t s = 0; s < stops; ++s) stopped = stopped || (stop[s] >= 0 && stop[s] == t);
    if (stopped) {
      finished[i] = 1;
    } else {
      output[i] = plus(output[i], 1);
      if (output[i] >= limit[i]) {
        finished[i] = 2;
      } else {
        a.tokens.as<int32_t>()[i] = t;
        for (const TensorView* counter : {&a.positions, &a.slots, &a.visible})
          counter->as<int32_t>()[i] = plus(counter->as<int32_t>()[i], 1);
        running = true;
      }
    }
    event[0] = t, event[2] = finished[i], event[3] = 1;
  }
  *a.live.as<int32_t>() = running ? static_cast<int32_t>(n) : 0;
  return Status::success();
}

}  // namespace hb::cpu
