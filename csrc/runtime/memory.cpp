#include "runtime/memory.h"

#include <sys/mman.h>
#include <unistd.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <algorithm>
#include <cstdlib>

#include "runtime/device.h"

namespace hb {

namespace {

constexpr int64_t kHugePage = 2 << 20, kLarge = 4 * kHugePage;
[[maybe_unused]] constexpr int64_t kTrim = 32 << 20;
constexpr int64_t kMeasured = 128 << 10;  ///< smaller blocks are taken to be touched as a whole

/// Under AddressSanitizer a block is as long as was asked for and nobody's second, so that a use beyond its end, or
/// after it was freed, is found.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kChecked = true;
#else
constexpr bool kChecked = false;
#endif

/// Quarter steps between powers of two, at least a cache line plus kTail.
int64_t class_of(int64_t bytes) {
  int64_t size = 256;
  bytes += kTail;
  while (size < bytes) size *= 2;
  for (int64_t quarter = size / 8, s = size / 2 + quarter; s < size; s += quarter)
    if (s >= bytes && s % 64 == 0) return s;
  return size;
}

class HostSource final : public Memory::Source {
 public:
  void* take(int64_t size) override {
    void* block = nullptr;
    if (kChecked) return posix_memalign(&block, 64, static_cast<size_t>(size)) == 0 ? block : nullptr;
    // Large blocks ask for huge pages: weights that stream from memory then miss few translations, and fetching ahead
    // does not stop at every 4 KiB.
    if (size >= kLarge) {
      block = std::aligned_alloc(kHugePage, static_cast<size_t>((size + kHugePage - 1) / kHugePage * kHugePage));
      if (block) madvise(block, static_cast<size_t>(size), MADV_HUGEPAGE);
    }
    return block ? block : std::aligned_alloc(64, static_cast<size_t>(size));
  }
  void give(void* block) override { std::free(block); }
  int64_t size_of(int64_t wanted) const override { return kChecked ? wanted + kTail : class_of(wanted); }
  bool keeps_none() const override { return kChecked; }
  int64_t resident(const void* block, int64_t bytes) const override {
    if (bytes < kMeasured) return bytes;
    const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    const uintptr_t start = reinterpret_cast<uintptr_t>(block) / page * page;
    const uintptr_t end = reinterpret_cast<uintptr_t>(block) + static_cast<uintptr_t>(bytes);
    unsigned char present[4096];
    int64_t pages = 0;
    for (uintptr_t at = start; at < end; at += sizeof present * page) {
      const uintptr_t span = std::min<uintptr_t>(end - at, sizeof present * page), count = (span + page - 1) / page;
      if (mincore(reinterpret_cast<void*>(at), span, present) != 0) return bytes;
      for (uintptr_t i = 0; i < count; ++i) pages += present[i] & 1;
    }
    return std::min(bytes, pages * static_cast<int64_t>(page));
  }
};

/// A page that nobody touches costs nothing on the host. On a device it does, so large blocks are hardly larger than
/// asked for.
class DeviceSource final : public Memory::Source {
 public:
  explicit DeviceSource(std::shared_ptr<Device> device) : device_(std::move(device)) {}
  void* take(int64_t size) override { return device_->api().allocate(device_->handle(), static_cast<size_t>(size)); }
  void give(void* block) override { device_->api().release(device_->handle(), block); }
  int64_t size_of(int64_t wanted) const override {
    if (keeps_none()) return wanted > 0 ? wanted : 1;
    return wanted >= kLarge ? (wanted + kHugePage - 1) / kHugePage * kHugePage : class_of(wanted);
  }
  bool keeps_none() const override { return device_->api().exact_blocks; }
  bool gives_late() const override { return true; }
  int64_t most_kept() const override { return std::max(Source::most_kept(), device_->info().memory_bytes / 8); }

 private:
  std::shared_ptr<Device> device_;
};

class PinnedSource final : public Memory::Source {
 public:
  explicit PinnedSource(std::shared_ptr<Device> device) : device_(std::move(device)) {}
  void* take(int64_t size) override {
    return device_->api().allocate_host(device_->handle(), static_cast<size_t>(size));
  }
  void give(void* block) override { device_->api().release_host(device_->handle(), block); }
  int64_t size_of(int64_t wanted) const override { return class_of(wanted); }
  bool gives_late() const override { return true; }

 private:
  std::shared_ptr<Device> device_;
};

}  // namespace

Memory::Memory() : Memory(std::make_unique<HostSource>()) {}

Memory::~Memory() { close(); }

std::shared_ptr<Memory> device_memory(std::shared_ptr<Device> device) {
  return std::make_shared<Memory>(std::make_unique<DeviceSource>(std::move(device)));
}

std::shared_ptr<Memory> pinned_memory(std::shared_ptr<Device> device) {
  return std::make_shared<Memory>(std::make_unique<PinnedSource>(std::move(device)));
}

void Memory::shrink(int64_t most) {
  for (auto it = free_.end(); it != free_.begin() && cached_ > most;) {
    --it;
    for (; !it->second.empty() && cached_ > most; it->second.pop_back()) {
      source_->give(it->second.back());
      cached_ -= it->first;
    }
    if (it->second.empty()) it = free_.erase(it);
  }
}

void Memory::trim() {
  std::lock_guard lock(mutex_);
  if (!closed_) shrink(source_->most_kept());
}

void Memory::close() {
  std::lock_guard lock(mutex_);
  if (closed_) return;
  closed_ = true;
  [[maybe_unused]] const int64_t held = bytes + cached_;
  shrink(0);
  for (const auto& [block, size] : live_) source_->give(block);
  live_.clear();
  source_.reset();
#if defined(__GLIBC__)
  // The allocator keeps freed blocks of up to 32 MB for itself; a model's worth of them is the system's.
  if (held > kTrim) malloc_trim(0);
#endif
  bytes = 0;
}

/// A kept block of the size, or at most a quarter larger.
void* Memory::reuse(int64_t size, int64_t* block_bytes) {
  auto it = free_.lower_bound(size);
  if (it == free_.end() || it->first > size + size / 4) return nullptr;
  void* block = it->second.back();
  it->second.pop_back();
  *block_bytes = it->first;
  cached_ -= it->first;
  if (it->second.empty()) free_.erase(it);
  return block;
}

void* Memory::take(int64_t wanted, int64_t* block_bytes) {
  std::lock_guard lock(mutex_);
  if (closed_) return nullptr;
  const int64_t size = *block_bytes = source_->size_of(wanted);
  void* block = reuse(size, block_bytes);
  if (!block) block = source_->take(size);
  if (!block && cached_ > 0) {  // what is kept may be what is missing
    shrink(0);
    block = source_->take(size);
  }
  if (!block) return nullptr;
  live_.emplace(block, *block_bytes);
  allocations++;
  bytes += *block_bytes;
  if (bytes > peak_bytes) peak_bytes = bytes.load();
  return block;
}

int64_t Memory::resident() {
  std::lock_guard lock(mutex_);
  if (closed_) return 0;
  int64_t sum = 0;
  for (const auto& [block, size] : live_) sum += source_->resident(block, size);
  for (const auto& [size, blocks] : free_)
    for (const void* block : blocks) sum += source_->resident(block, size);
  return sum;
}

void Memory::give(void* block, int64_t block_bytes) {
  std::lock_guard lock(mutex_);
  if (live_.erase(block) == 0) return;  // closed
  bytes -= block_bytes;
  if (source_->keeps_none() || (!source_->gives_late() && cached_ + block_bytes > source_->most_kept()))
    return source_->give(block);
  free_[block_bytes].push_back(block);
  cached_ += block_bytes;
}

}  // namespace hb
