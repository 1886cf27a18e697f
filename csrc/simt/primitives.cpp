// What primitives do that need no tensor cores: the functions of simt.h in terms of the block in flight.
#include <cstring>

#include "simt/block.h"

namespace hb::simt {

void fail(const char* text, Site site) { t_block->fail(text, site); }

void block_barrier(Site site) { t_block->block_barrier(site); }

void named_barrier(int id, unsigned threads, bool wait, Site site) { t_block->named_barrier(id, threads, wait, site); }

void warp_collective(uint32_t mask, LaneFunction function, void* argument, const char* name, Site site) {
  t_block->warp_collective(mask, function, argument, name, site, false);
}

void warp_barrier(uint32_t mask, Site site) {
  t_block->warp_collective(mask, [](void* const*, uint32_t) {}, nullptr, "warp barrier", site, true);
}

unsigned char* shared_memory() { return t_block->shared(); }

// The destination is NaN from here on, and the copy happens as late as it may: who forgets to wait reads NaN.
void copy_async16(void* to, const void* from, int bytes, Site site) {
  Block& block = *t_block;
  Thread& self = block.current();
  self.site = site;
  if (bytes < 0 || bytes > 16) fail("cp.async copies 0 to 16 bytes", site);
  block.check_shared(to, 16, 16, "cp.async", site);
  if (reinterpret_cast<uintptr_t>(from) % 16 != 0) fail("cp.async: the source is not aligned to 16 bytes", site);
  if (block.in_shared(from)) fail("cp.async: the source is in shared memory", site);
  if (bytes > 0) {  // a source that may not be read faults here, where the report names the line
    static_cast<void>(*static_cast<const volatile unsigned char*>(from));
    static_cast<void>(static_cast<const volatile unsigned char*>(from)[bytes - 1]);
  }
  block.begin_copy(to, site);
  std::memset(to, 0xFF, 16);
  self.copies.push_back({to, from, bytes, site});
  block.counters.copy_async_bytes += static_cast<unsigned>(bytes);
}

void copy_commit() {
  Thread& self = t_block->current();
  self.groups.push_back(self.copies.size());
  t_block->maybe_yield();
}

void copy_wait(int pending) {
  Block& block = *t_block;
  Thread& self = block.current();
  if (pending < 0) {
    block.finish_copies(self, self.copies.size());
    self.groups_done = self.groups.size();
  } else if (const size_t keep = static_cast<size_t>(pending); self.groups.size() > self.groups_done + keep) {
    self.groups_done = self.groups.size() - keep;
    block.finish_copies(self, self.groups[self.groups_done - 1]);
  }
  if (self.copies_done == self.copies.size() && self.groups_done == self.groups.size()) {
    self.copies.clear(), self.groups.clear();
    self.copies_done = self.groups_done = 0;
  }
  block.maybe_yield();
}

void load_access(const void* from, int bytes, Site site) {
  Block& block = *t_block;
  block.current().site = site;
  if (reinterpret_cast<uintptr_t>(from) % static_cast<uintptr_t>(bytes) != 0)
    fail("load: the address is not aligned to its size", site);
  block.access(from, bytes, Access::read, place_of(site));
  if (bytes == 16 && block.in_shared(from)) block.count_banks(from, site);
  block.counters.load_bytes += static_cast<unsigned>(bytes);
}

void store_access(const void* to, int bytes, Site site) {
  Block& block = *t_block;
  block.current().site = site;
  if (reinterpret_cast<uintptr_t>(to) % static_cast<uintptr_t>(bytes) != 0)
    fail("store: the address is not aligned to its size", site);
  block.access(to, bytes, Access::write, place_of(site));
  if (bytes == 16 && block.in_shared(to)) block.count_banks(to, site);
  block.counters.store_bytes += static_cast<unsigned>(bytes);
}

void atomic_access(const void* at, int bytes, Site site) {
  Block& block = *t_block;
  block.current().site = site;
  if (reinterpret_cast<uintptr_t>(at) % static_cast<uintptr_t>(bytes) != 0)
    fail("atomic operation: the address is not aligned to its size", site);
  block.access(at, bytes, Access::atomic, place_of(site));
  ++block.counters.atomics;
  block.maybe_yield();
}

}  // namespace hb::simt
