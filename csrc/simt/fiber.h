#pragma once
// Fibers: stacks that a thread may leave and come back to. x86-64 has its own switch (no system call, a few ns); other
// processors, and builds with HB_SIMT_UCONTEXT, use ucontext.
#include <cstddef>
#include <vector>

#if !defined(__x86_64__) && !defined(HB_SIMT_UCONTEXT)
#define HB_SIMT_UCONTEXT 1
#endif
#ifdef HB_SIMT_UCONTEXT
#include <ucontext.h>
#endif

namespace hb::simt {

/// Where a fiber was left. Owns nothing.
struct Fiber {
#ifdef HB_SIMT_UCONTEXT
  ucontext_t context;
#else
  void* stack_pointer = nullptr;
#endif
};

/// Prepares `fiber` so that the first switch to it calls `entry` on the stack that ends at `top`. `entry` never
/// returns.
void prepare(Fiber& fiber, void* stack, void* top, void (*entry)());

/// Leaves `from` and goes on in `to`, which must not be `from`.
void switch_fiber(Fiber& from, Fiber& to);

/// Stacks of equal size, each above a page that may not be touched. Never shrinks.
class Stacks {
 public:
  static constexpr size_t kBytes = 68 * 1024, kGuard = 4096, kStride = kBytes + kGuard;

  Stacks() = default;
  Stacks(const Stacks&) = delete;
  Stacks& operator=(const Stacks&) = delete;
  ~Stacks();
  /// False when there is no memory for them.
  bool reserve(unsigned count);
  void* bottom(unsigned i) const { return chunks_[i / kChunk] + (i % kChunk) * kStride + kGuard; }
  /// The tops of neighbours lie in different cache sets.
  void* top(unsigned i) const { return static_cast<char*>(bottom(i)) + kBytes - i * 320 % 4096; }
  /// The number of the stack below which `address` lies in the guard page, or -1.
  int guard_of(const void* address) const;

 private:
  static constexpr unsigned kChunk = 64;
  std::vector<char*> chunks_;
};

}  // namespace hb::simt
