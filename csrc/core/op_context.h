#pragma once
#include <cstddef>
#include <cstdint>

namespace hb {

/// Runs `body(context, index, worker)` for every index below `count`, on up to `workers()` threads. Which worker runs
/// which index is not defined: a body's result may depend on `index` only, `worker` is for its scratch.
class Parallel {
 public:
  using Body = void (*)(void* context, int64_t index, int worker);
  virtual ~Parallel() = default;
  virtual int workers() const = 0;
  virtual void run(int64_t count, Body body, void* context) = 0;
};

/// Records that leave a program for the host, in order.
class Ring {
 public:
  virtual ~Ring() = default;
  virtual void push(int32_t channel, const void* data, size_t bytes) = 0;
};

/// Bits that kernels set when data made them clamp; the ring carries them to the host.
enum Flag : uint32_t { kFlagIndexClamped = 1u, kFlagNotANumber = 2u };

/// Everything that an op may use besides its operands. Filled by the runtime, one per executor.
struct OpContext {
  Parallel* parallel = nullptr;  ///< never null; one worker when the op is small
  const void* verbs = nullptr;   ///< the backend's kernel table (cpu: cpu/verbs.h)
  void* scratch = nullptr;       ///< 64-byte aligned, as large as `workspace` asked for
  size_t scratch_bytes = 0;
  Ring* ring = nullptr;
  uint32_t* flags = nullptr;  ///< or-ed by one thread at a time: only the op's calling thread writes it
};

/// `parallel->run` with a lambda `(index, worker)`.
template <class F>
void parallel_for(const OpContext& cx, int64_t count, F&& body) {
  cx.parallel->run(
      count, [](void* context, int64_t index, int worker) { (*static_cast<F*>(context))(index, worker); }, &body);
}

}  // namespace hb
