// What kernel files compiled with -fsanitize=thread call at every load and store.
#include "simt/block.h"

namespace {

inline void note(const void* at, size_t bytes, hb::simt::Access kind, const void* code) {
  using namespace hb::simt;
  if (Block* block = t_block; block && block->in_shared(at))
    block->access(at, static_cast<int>(bytes), kind, place_of(code));
}

}  // namespace

#define HB_HOOK(name, bytes, kind) \
  void name(void* at) { note(at, bytes, hb::simt::Access::kind, __builtin_return_address(0)); }

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
HB_HOOK(__tsan_read1, 1, read)
HB_HOOK(__tsan_read2, 2, read)
HB_HOOK(__tsan_read4, 4, read)
HB_HOOK(__tsan_read8, 8, read)
HB_HOOK(__tsan_read16, 16, read)
HB_HOOK(__tsan_write1, 1, write)
HB_HOOK(__tsan_write2, 2, write)
HB_HOOK(__tsan_write4, 4, write)
HB_HOOK(__tsan_write8, 8, write)
HB_HOOK(__tsan_write16, 16, write)
HB_HOOK(__tsan_unaligned_read2, 2, read)
HB_HOOK(__tsan_unaligned_read4, 4, read)
HB_HOOK(__tsan_unaligned_read8, 8, read)
HB_HOOK(__tsan_unaligned_read16, 16, read)
HB_HOOK(__tsan_unaligned_write2, 2, write)
HB_HOOK(__tsan_unaligned_write4, 4, write)
HB_HOOK(__tsan_unaligned_write8, 8, write)
HB_HOOK(__tsan_unaligned_write16, 16, write)

// Host code of kernel files: guards of static variables and the like. Kernels have primitives for this.
#define HB_ATOMICS(bits, T)                                                                                           \
  T __tsan_atomic##bits##_load(const volatile T* at, int) { return __atomic_load_n(at, __ATOMIC_SEQ_CST); }           \
  void __tsan_atomic##bits##_store(volatile T* at, T v, int) { __atomic_store_n(at, v, __ATOMIC_SEQ_CST); }           \
  T __tsan_atomic##bits##_exchange(volatile T* at, T v, int) { return __atomic_exchange_n(at, v, __ATOMIC_SEQ_CST); } \
  T __tsan_atomic##bits##_fetch_add(volatile T* at, T v, int) { return __atomic_fetch_add(at, v, __ATOMIC_SEQ_CST); } \
  T __tsan_atomic##bits##_fetch_sub(volatile T* at, T v, int) { return __atomic_fetch_sub(at, v, __ATOMIC_SEQ_CST); }
HB_ATOMICS(8, uint8_t)
HB_ATOMICS(32, uint32_t)
HB_ATOMICS(64, uint64_t)

void __tsan_read_range(void* at, size_t bytes) { note(at, bytes, hb::simt::Access::read, __builtin_return_address(0)); }
void __tsan_write_range(void* at, size_t bytes) {
  note(at, bytes, hb::simt::Access::write, __builtin_return_address(0));
}
}
