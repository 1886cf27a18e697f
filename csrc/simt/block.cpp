#include "simt/block.h"

#include <sys/mman.h>

#include <bit>
#include <cstdio>
#include <cstring>

#include "simt/faults.h"

namespace hb::simt {

constinit thread_local Self* t_self = nullptr;
constinit thread_local Block* t_block = nullptr;

namespace {

/// The same line; instances of one template count as one.
bool same_line(Site a, Site b) {
  static_assert(sizeof(Site) == sizeof(void*));
  return std::bit_cast<const void*>(a) == std::bit_cast<const void*>(b) ||
         (a.line() == b.line() && std::strcmp(a.file_name(), b.file_name()) == 0);
}

}  // namespace

std::string text_of(Site site) {
  std::string file = site.file_name();
  if (const size_t slash = file.rfind('/'); slash != std::string::npos) file.erase(0, slash + 1);
  return file + ":" + std::to_string(site.line());
}

std::string text_of(Dim d) {
  char text[48];
  std::snprintf(text, sizeof text, "(%u, %u, %u)", d.x, d.y, d.z);
  return text;
}

int ThreadSet::next(unsigned from) const {
  constexpr unsigned kWords = kMaxThreads / 64;
  const unsigned first = from / 64 % kWords;
  uint64_t bits = word[first] & ~uint64_t{0} << from % 64;
  for (unsigned i = 0; i <= kWords; ++i) {
    const unsigned w = (first + i) % kWords;
    if (i > 0) bits = word[w];
    if (bits) return static_cast<int>(w * 64 + static_cast<unsigned>(std::countr_zero(bits)));
  }
  return -1;
}

// Shared memory lies at the end of an area behind which nothing may be touched.
Block::Block() : threads_(kMaxThreads) {
  const size_t page = 4096, whole = (kSharedCapacity + page - 1) / page * page;
  void* area =
      mmap(nullptr, whole + kGuardBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (area == MAP_FAILED) return;
  area_ = static_cast<unsigned char*>(area);
  mprotect(area_ + whole, kGuardBytes, PROT_NONE);
  shared_end_ = area_ + whole;
}

Block::~Block() {
  if (area_) munmap(area_, static_cast<size_t>(shared_end_ - area_) + kGuardBytes);
}

bool Block::run(const Launch& launch, uint64_t index, void (*body)(void*), void* context, const Options& options) {
  launch_ = &launch, body_ = body, context_ = context;
  count_ = left_ = launch.block.x * launch.block.y * launch.block.z;
  error.clear();
  failed_ = false;
  faulted_ = nullptr;
  if (!area_ || !stacks_.reserve(count_)) {
    error = "no memory for the emulator's stacks";
    return false;
  }
  random_ = options.seed != 0;
  random_state_ = options.seed * 0x9E3779B97F4A7C15u + index * 0xD1B54A32D192ED03u + 1;
  const size_t rounded = (launch.shared_bytes + 1023) / 1024 * 1024;
  shared_ = shared_end_ - rounded;
  std::memset(shared_, 0xFF, rounded);
  races_on_ = options.races;
  if (races_on_) {
    if (!races_) races_ = std::make_unique<Races>();
    races_->start(shared_, launch.shared_bytes, count_);
  }
  banks_.start((count_ + kWarp - 1) / kWarp);
  for (Barrier& b : barriers_) b.arrived = 0, b.waiting = {};
  for (unsigned w = 0; w * kWarp < count_; ++w) {
    for (unsigned i = 0; i < warps_[w].used; ++i) warps_[w].open[i].got = 0;
    warps_[w].used = 0;
  }
  const Dim grid = launch.grid, dim = launch.block;
  const Dim block{static_cast<unsigned>(index % grid.x), static_cast<unsigned>(index / grid.x % grid.y),
                  static_cast<unsigned>(index / grid.x / grid.y)};
  for (unsigned i = 0; i < count_; ++i) {
    Thread& t = threads_[i];
    t.thread_index = {i % dim.x, i / dim.x % dim.y, i / dim.x / dim.y};
    t.block_index = block, t.block_dim = dim, t.grid_dim = grid, t.linear = i;
    t.waits_at = nullptr, t.finished = false, t.site = launch.site;
    t.copies.clear(), t.groups.clear(), t.copies_done = t.groups_done = 0;
    prepare(t.fiber, stacks_.bottom(i), stacks_.top(i), entry);
    runnable_.add(i);
  }
  t_block = this;
  go_to(static_cast<unsigned>(pick(0)), base_);
  // Back here when the last thread has finished or one has failed.
  t_block = nullptr, t_self = nullptr;
  runnable_ = {};
  if (faulted_)
    error =
        describe_fault(*this, stacks_, fault_address_, fault_instruction_, faulted_->site) + "; " + name_of(*faulted_);
  counters.blocks += 1, counters.threads += count_, counters.shared_wavefronts += banks_.finish();
  return !failed_;
}

void Block::entry() {
  Block& block = *t_block;
  block.body_(block.context_);
  block.finish();
}

void Block::finish() {
  Thread& self = current();
  if (self.copies_done < self.copies.size()) {
    fail("the thread ends with " + std::to_string(self.copies.size() - self.copies_done) +
             " asynchronous copies that it never waited for",
         self.copies[self.copies_done].site);
  }
  self.finished = true;
  runnable_.remove(self.linear);
  if (--left_ == 0) leave();
  const int next = pick(self.linear + 1);
  if (next < 0) report_deadlock();
  go_to(static_cast<unsigned>(next), self.fiber);
  __builtin_unreachable();
}

void Block::leave() {
  Fiber nowhere;
  switch_fiber(nowhere, base_);
  __builtin_unreachable();
}

void Block::go_to(unsigned next, Fiber& from) {
  t_self = &threads_[next];
  switch_fiber(from, threads_[next].fiber);
}

uint64_t Block::random() {
  // splitmix64
  uint64_t z = random_state_ += 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return z ^ z >> 31;
}

int Block::pick(unsigned from) {
  return runnable_.next(random_ ? static_cast<unsigned>(random() % count_) : from % kMaxThreads);
}

void Block::block(Thread& thread, const char* what, uint32_t with) {
  thread.waits_at = what, thread.waits_with = with;
  runnable_.remove(thread.linear);
  const int next = pick(thread.linear + 1);
  if (next < 0) report_deadlock();
  go_to(static_cast<unsigned>(next), thread.fiber);
}

void Block::wake(unsigned linear) {
  threads_[linear].waits_at = nullptr;
  runnable_.add(linear);
}

void Block::maybe_yield() {
  if (!random_ || random() % 4 != 0) return;
  Thread& self = current();
  const int next = pick(0);
  if (next != static_cast<int>(self.linear)) go_to(static_cast<unsigned>(next), self.fiber);
}

// --- Barriers ---

void Block::arrive(Barrier& b, unsigned expected, bool wait, Thread& self, int id, Site site) {
  self.site = site;
  if (b.arrived == 0) b.expected = expected, b.site = site, b.took_part = {}, b.clock.epoch = 0;
  if (b.expected != expected) {
    fail("barrier " + std::to_string(id) + " is met with " + std::to_string(expected) + " threads here and with " +
             std::to_string(b.expected) + " at " + text_of(b.site),
         site);
  }
  if (b.took_part.has(self.linear)) fail("the thread arrives twice at barrier " + std::to_string(id), site);
  b.took_part.add(self.linear);
  const bool by_epoch = id == 0;  // every thread waits: cheaper than clocks
  if (races_on_ && !by_epoch) races_->arrive(b.clock, self.linear);
  if (++b.arrived < expected) {
    if (!wait) return maybe_yield();
    b.waiting.add(self.linear);
    return block(self, id == 0 ? "block barrier" : "barrier", static_cast<uint32_t>(id));
  }
  if (races_on_ && by_epoch) races_->block_barrier();
  if (races_on_ && !by_epoch && wait) races_->wait(b.clock, self.linear);
  for (int i = b.waiting.next(0); i >= 0; i = b.waiting.next(0)) {
    const unsigned t = static_cast<unsigned>(i);
    if (races_on_ && !by_epoch) races_->wait(b.clock, t);
    b.waiting.remove(t);
    wake(t);
  }
  b.arrived = 0;
  ++counters.block_barriers;
  maybe_yield();
}

void Block::block_barrier(Site site) {
  Thread& self = current();
  Barrier& b = barriers_[0];
  if (b.arrived && !same_line(b.site, site))
    fail("barrier in divergent code: this thread is at " + text_of(site) + ", others wait at " + text_of(b.site), site);
  arrive(b, count_, true, self, 0, site);
}

void Block::named_barrier(int id, unsigned threads, bool wait, Site site) {
  if (id < 1 || id >= static_cast<int>(kNamedBarriers)) fail("named barriers are 1 to 15", site);
  if (threads == 0 || threads % kWarp != 0 || threads > count_)
    fail("a named barrier is for whole warps of the block, got " + std::to_string(threads) + " threads", site);
  arrive(barriers_[static_cast<unsigned>(id)], threads, wait, current(), id, site);
}

// --- Warp collectives ---

void Block::warp_collective(uint32_t mask, LaneFunction function, void* argument, const char* name, Site site,
                            bool orders) {
  Thread& self = current();
  self.site = site;
  const unsigned lane = self.linear % kWarp, first = self.linear - lane;
  const unsigned lanes_here = count_ - first < kWarp ? count_ - first : kWarp;
  if (!(mask >> lane & 1)) fail(std::string(name) + ": the lane is not in its own mask", site);
  if (lanes_here < kWarp && mask >> lanes_here)
    fail(std::string(name) + ": the mask names lanes that the block does not have", site);
  Warp& warp = warps_[self.linear / kWarp];
  Collective* c = nullptr;
  for (unsigned i = 0; i < warp.used && !c; ++i)
    if (warp.open[i].got && warp.open[i].mask == mask) c = &warp.open[i];
  if (!c) {
    for (unsigned i = 0; i < warp.used && !c; ++i)
      if (!warp.open[i].got) c = &warp.open[i];
    if (!c) c = &warp.open[warp.used++];
    c->mask = mask, c->function = function, c->name = name, c->site = site;
  }
  if (c->function != function || !same_line(c->site, site)) {
    fail("lanes of one warp meet in different collectives: " + std::string(name) + " at " + text_of(site) + " and " +
             c->name + " at " + text_of(c->site),
         site);
  }
  c->lanes[lane] = argument;
  c->got |= 1u << lane;
  if (c->got != mask) return block(self, name, mask);
  function(c->lanes, mask);
  c->got = 0;
  ++counters.warp_collectives;
  if (orders && races_on_) races_->warp_barrier(first, mask);
  for (uint32_t rest = mask & ~(1u << lane); rest; rest &= rest - 1)
    wake(first + static_cast<unsigned>(std::countr_zero(rest)));
  maybe_yield();
}

// --- Asynchronous copies ---

void Block::finish_copies(Thread& thread, size_t until) {
  for (; thread.copies_done < until; ++thread.copies_done) {
    const AsyncCopy& c = thread.copies[thread.copies_done];
    thread.site = c.site;
    std::memcpy(c.to, c.from, static_cast<size_t>(c.bytes));
    std::memset(static_cast<char*>(c.to) + c.bytes, 0, static_cast<size_t>(16 - c.bytes));
    if (races_on_) races_->end_copy(c.to, 16, place_of(c.site));
  }
}

// --- Failures ---

std::string Block::name_of(const Thread& t) const {
  return "block " + text_of(t.block_index) + " thread " + text_of(t.thread_index);
}

void Block::fail_at(const std::string& text) {
  error = text;
  failed_ = true;
  leave();
}

void Block::fail(std::string text, Site site) { fail_at(text_of(site) + ": " + text + "; " + name_of(current())); }

void Block::fault(const void* address, const void* instruction) {
  faulted_ = &current(), fault_address_ = address, fault_instruction_ = instruction;
  failed_ = true;
  leave();
}

void Block::access(const void* at, int bytes, Access kind, Place place) {
  if (!in_shared(at)) return;
  if (static_cast<const unsigned char*>(at) + bytes > shared_ + launch_->shared_bytes) {
    fail_at(text_of_place(place) + ": access beyond the " + std::to_string(launch_->shared_bytes) +
            " bytes of shared memory that the launch asked for; " + name_of(current()));
  }
  if (races_on_) races_->access(at, bytes, kind, place);
}

void Block::check_shared(const void* address, int bytes, int alignment, const char* what, Site site) {
  const unsigned char* a = static_cast<const unsigned char*>(address);
  if (reinterpret_cast<uintptr_t>(a) % static_cast<uintptr_t>(alignment) != 0)
    fail(std::string(what) + ": the address is not aligned to " + std::to_string(alignment) + " bytes", site);
  if (a < shared_ || a + bytes > shared_ + launch_->shared_bytes) {
    fail(std::string(what) + ": the address is not in the " + std::to_string(launch_->shared_bytes) +
             " bytes of shared memory that the launch asked for",
         site);
  }
}

void Block::report_deadlock() {
  std::string text = "deadlock in block " + text_of(threads_[0].block_index) + ":";
  const auto same = [&](const Thread& a, const Thread& b) {
    return a.finished == b.finished &&
           (a.finished || (a.waits_at == b.waits_at && a.waits_with == b.waits_with && (same_line(a.site, b.site))));
  };
  int groups = 0;
  for (unsigned i = 0; i < count_;) {
    unsigned end = i + 1;
    while (end < count_ && same(threads_[i], threads_[end])) ++end;
    if (++groups > 16) {
      text += " ...";
      break;
    }
    const Thread& t = threads_[i];
    text += groups > 1 ? ", " : " ";
    text +=
        end == i + 1 ? "thread " + std::to_string(i) : "threads " + std::to_string(i) + "-" + std::to_string(end - 1);
    if (t.finished) {
      text += " finished";
    } else {
      text += " waits at ";
      text += t.waits_at;
      if (std::strcmp(t.waits_at, "block barrier") != 0) {
        char with[24];
        std::snprintf(with, sizeof with, std::strcmp(t.waits_at, "barrier") == 0 ? " %u" : " of lanes 0x%08x",
                      t.waits_with);
        text += with;
      }
      text += " (" + text_of(t.site) + ")";
    }
    i = end;
  }
  fail_at(text);
}

}  // namespace hb::simt
