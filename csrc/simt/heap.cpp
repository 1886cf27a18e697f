#include "simt/heap.h"

#include <sys/mman.h>

#include <cstdint>

#include "simt/faults.h"

namespace hb::simt {

namespace {

constexpr size_t kPage = 4096;

/// The first page of a block that ends at a guard page.
void* first_page(void* block) { return reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(block) / kPage * kPage); }

}  // namespace

Heap::Heap(bool closes) : closes_(closes) {
  if (closes) catch_faults();
}

Heap::~Heap() {
  for (const auto& [block, bytes] : blocks_) guarded_free(block);
}

void* Heap::take(size_t bytes) {
  void* block = guarded_allocate(bytes ? bytes : 1);
  if (!block) return nullptr;
  const size_t tail = (bytes ? bytes : 1) + reinterpret_cast<uintptr_t>(block) % kPage;
  const size_t mapped = (tail + kPage - 1) / kPage * kPage;
  std::lock_guard lock(mutex_);
  blocks_[block] = mapped;
  if (closes_ && opened_ == 0) mprotect(first_page(block), mapped, PROT_NONE);
  return block;
}

void Heap::give(void* block) {
  {
    std::lock_guard lock(mutex_);
    if (blocks_.erase(block) == 0) return;
  }
  guarded_free(block);
}

void Heap::protect(int protection) {
  for (const auto& [block, mapped] : blocks_) mprotect(first_page(block), mapped, protection);
}

void Heap::open() {
  if (!closes_) return;
  std::lock_guard lock(mutex_);
  if (opened_++ == 0) protect(PROT_READ | PROT_WRITE);
}

void Heap::close() {
  if (!closes_) return;
  std::lock_guard lock(mutex_);
  if (--opened_ == 0) protect(PROT_NONE);
}

}  // namespace hb::simt
