#include "runtime/memory.h"

#include <sys/mman.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <cstdlib>

namespace hb {

namespace {

constexpr int64_t kHugePage = 2 << 20, kLarge = 4 * kHugePage;
[[maybe_unused]] constexpr int64_t kTrim = 32 << 20;

/// Quarter steps between powers of two, at least a cache line plus room for kernels that read a full vector at the end.
int64_t class_of(int64_t bytes) {
  int64_t size = 256;
  bytes += 64;
  while (size < bytes) size *= 2;
  for (int64_t quarter = size / 8, s = size / 2 + quarter; s < size; s += quarter)
    if (s >= bytes && s % 64 == 0) return s;
  return size;
}

}  // namespace

Memory::~Memory() { close(); }

void Memory::close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
  for (auto& [size, blocks] : free_)
    for (void* b : blocks) std::free(b);
  for (void* b : live_) std::free(b);
  free_.clear();
  live_.clear();
#if defined(__GLIBC__)
  // The allocator keeps freed blocks of up to 32 MB for itself; a model's worth of them is the system's.
  if (bytes + cached_ > kTrim) malloc_trim(0);
#endif
  cached_ = 0;
  bytes = 0;
}

void* Memory::take(int64_t wanted, int64_t* class_bytes) {
  const int64_t size = class_of(wanted);
  *class_bytes = size;
  void* block = nullptr;
  {
    std::lock_guard lock(mutex_);
    if (closed_) return nullptr;
    auto it = free_.find(size);
    if (it != free_.end() && !it->second.empty()) {
      block = it->second.back();
      it->second.pop_back();
      cached_ -= size;
    }
  }
  // Large blocks ask for huge pages: weights that stream from memory then miss few translations, and fetching ahead
  // does not stop at every 4 KiB.
  if (!block && size >= kLarge) {
    block = std::aligned_alloc(kHugePage, static_cast<size_t>((size + kHugePage - 1) / kHugePage * kHugePage));
    if (block) madvise(block, static_cast<size_t>(size), MADV_HUGEPAGE);
  }
  if (!block) block = std::aligned_alloc(64, static_cast<size_t>(size));
  if (!block) return nullptr;
  {
    std::lock_guard lock(mutex_);
    if (closed_) {
      std::free(block);
      return nullptr;
    }
    live_.insert(block);
  }
  allocations++;
  const int64_t now = bytes.fetch_add(size) + size;
  for (int64_t peak = peak_bytes.load(); now > peak && !peak_bytes.compare_exchange_weak(peak, now);) {
  }
  return block;
}

void Memory::give(void* block, int64_t class_bytes) {
  {
    std::lock_guard lock(mutex_);
    if (live_.erase(block) == 0) return;  // closed
    bytes -= class_bytes;
    if (cached_ + class_bytes <= kMostCached) {
      free_[class_bytes].push_back(block);
      cached_ += class_bytes;
      return;
    }
  }
  std::free(block);
}

}  // namespace hb
