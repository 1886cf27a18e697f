#include "simt/fiber.h"

#include <sys/mman.h>

#include <cstdint>

namespace hb::simt {

#ifdef HB_SIMT_UCONTEXT

void prepare(Fiber& fiber, void* stack, void* top, void (*entry)()) {
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = stack;
  fiber.context.uc_stack.ss_size = static_cast<size_t>(static_cast<char*>(top) - static_cast<char*>(stack));
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, entry, 0);
}

void switch_fiber(Fiber& from, Fiber& to) { swapcontext(&from.context, &to.context); }

#else

extern "C" void hb_simt_switch(void** save, void* load);
// Callee-saved registers go to the stack that is left. `jmp` rather than `ret`: the return predictor knows nothing of
// other stacks.
asm(R"(
  .text
  .hidden hb_simt_switch
  .globl hb_simt_switch
  .type hb_simt_switch, @function
hb_simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  popq %rcx
  jmp *%rcx
  .size hb_simt_switch, . - hb_simt_switch
)");

void prepare(Fiber& fiber, void*, void* top, void (*entry)()) {
  void** sp = reinterpret_cast<void**>(reinterpret_cast<uintptr_t>(top) & ~uintptr_t{63});
  *--sp = nullptr;  // return address: unwinding ends here
  *--sp = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--sp = nullptr;
  fiber.stack_pointer = sp;
}

void switch_fiber(Fiber& from, Fiber& to) { hb_simt_switch(&from.stack_pointer, to.stack_pointer); }

#endif

Stacks::~Stacks() {
  for (char* chunk : chunks_) munmap(chunk, kChunk * kStride);
}

bool Stacks::reserve(unsigned count) {
  while (chunks_.size() * kChunk < count) {
    void* chunk =
        mmap(nullptr, kChunk * kStride, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (chunk == MAP_FAILED) return false;
    for (unsigned i = 0; i < kChunk; ++i) mprotect(static_cast<char*>(chunk) + i * kStride, kGuard, PROT_NONE);
    chunks_.push_back(static_cast<char*>(chunk));
  }
  return true;
}

int Stacks::guard_of(const void* address) const {
  const char* a = static_cast<const char*>(address);
  for (size_t c = 0; c < chunks_.size(); ++c) {
    if (a < chunks_[c] || a >= chunks_[c] + kChunk * kStride) continue;
    const size_t offset = static_cast<size_t>(a - chunks_[c]);
    return offset % kStride < kGuard ? static_cast<int>(c * kChunk + offset / kStride) : -1;
  }
  return -1;
}

}  // namespace hb::simt
