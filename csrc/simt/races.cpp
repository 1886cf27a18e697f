#include "simt/races.h"

#include <algorithm>
#include <bit>
#include <string>

#include "simt/block.h"
#include "simt/faults.h"

namespace hb::simt {

namespace {
constexpr Place kIsSite = Place{1} << 63;
static_assert(sizeof(Site) == sizeof(Place));
}  // namespace

Place place_of(Site site) { return std::bit_cast<Place>(site) | kIsSite; }

std::string text_of_place(Place place) {
  if (place & kIsSite) return text_of(std::bit_cast<Site>(place & ~kIsSite));
  return text_of_code(reinterpret_cast<const void*>(place));
}

void Races::start(unsigned char* shared, size_t bytes, unsigned threads) {
  shared_ = shared, bytes_ = bytes;
  ++epoch_;
  if (threads > threads_) {
    seen_.assign(size_t{threads} * threads, 0);
    row_epoch_.assign(threads, 0);
    threads_ = threads;
  }
  if (cells_.size() < (bytes + 1) / 2) cells_.resize((bytes + 1) / 2);
  copying_.assign(cells_.size(), 0);
}

/// Entry t of row t is the thread's own clock; it starts at 1 in every epoch, the others at 0.
uint32_t* Races::row(unsigned thread) {
  uint32_t* r = seen_.data() + size_t{thread} * threads_;
  if (row_epoch_[thread] != epoch_) {
    std::fill(r, r + threads_, 0);
    r[thread] = 1;
    row_epoch_[thread] = epoch_;
  }
  return r;
}

bool Races::ordered(const Mark& mark, unsigned thread) const {
  return mark.thread == thread || mark.clock <= seen_[size_t{thread} * threads_ + mark.thread];
}

void Races::access(const void* at, int bytes, Access kind, Place place) {
  const unsigned char* a = static_cast<const unsigned char*>(at);
  if (a < shared_ || a >= shared_ + bytes_) return;
  const unsigned self = t_self->linear;
  const uint32_t clock = row(self)[self];
  const size_t first = static_cast<size_t>(a - shared_) / 2, last = static_cast<size_t>(a - shared_ + bytes - 1) / 2;
  const Mark mark{clock, static_cast<uint16_t>(self), kind, place};
  for (size_t i = first; i <= last; ++i) {
    Cell& c = cells_[i];
    if (copying_[i]) report("while an asynchronous copy is under way, see", c.write, kind, place, i);
    if (c.epoch != epoch_) c.epoch = epoch_, c.writes = c.reads = c.next_read = 0;
    if (c.writes && !(kind == Access::atomic && c.write.kind == Access::atomic) && !ordered(c.write, self))
      report("not ordered after", c.write, kind, place, i);
    if (kind == Access::read) {
      unsigned slot = 0;
      while (slot < c.reads && c.read[slot].thread / kWarp != self / kWarp) ++slot;
      if (slot == c.reads) {
        if (c.reads < 4) {
          ++c.reads;
        } else {
          slot = c.next_read++ % 4;
        }
      }
      c.read[slot] = mark;
      continue;
    }
    for (unsigned r = 0; r < c.reads; ++r)
      if (!ordered(c.read[r], self)) report("not ordered after", c.read[r], kind, place, i);
    c.reads = c.next_read = 0;
    c.write = mark, c.writes = 1;
  }
}

void Races::warp_barrier(unsigned first, uint32_t mask) {
  uint32_t* joined = row(first + static_cast<unsigned>(std::countr_zero(mask)));
  for (uint32_t rest = mask & (mask - 1); rest; rest &= rest - 1) {
    const uint32_t* r = row(first + static_cast<unsigned>(std::countr_zero(rest)));
    for (unsigned u = 0; u < threads_; ++u) joined[u] = std::max(joined[u], r[u]);
  }
  for (uint32_t rest = mask & (mask - 1); rest; rest &= rest - 1) {
    const unsigned t = first + static_cast<unsigned>(std::countr_zero(rest));
    std::copy(joined, joined + threads_, row(t));
  }
  for (uint32_t rest = mask; rest; rest &= rest - 1) {
    const unsigned t = first + static_cast<unsigned>(std::countr_zero(rest));
    ++row(t)[t];
  }
}

void Races::arrive(Clock& clock, unsigned thread) {
  uint32_t* r = row(thread);
  if (clock.epoch != epoch_) clock.epoch = epoch_, clock.at.assign(threads_, 0);
  for (unsigned u = 0; u < threads_; ++u) clock.at[u] = std::max(clock.at[u], r[u]);
  ++r[thread];
}

void Races::wait(const Clock& clock, unsigned thread) {
  if (clock.epoch != epoch_) return;  // a block barrier since then orders more
  uint32_t* r = row(thread);
  for (unsigned u = 0; u < threads_; ++u) r[u] = std::max(r[u], clock.at[u]);
}

void Races::begin_copy(const void* to, int bytes, Place place) {
  access(to, bytes, Access::write, place);
  std::fill_n(copying_.begin() + (static_cast<const unsigned char*>(to) - shared_) / 2, bytes / 2, 1);
}

void Races::end_copy(const void* to, int bytes, Place place) {
  std::fill_n(copying_.begin() + (static_cast<const unsigned char*>(to) - shared_) / 2, bytes / 2, 0);
  access(to, bytes, Access::write, place);
}

void Races::report(const char* relation, const Mark& earlier, Access kind, Place place, size_t cell) {
  const char* const names[] = {"read", "write", "atomic operation"};
  t_block->fail_at("race on byte " + std::to_string(2 * cell) + " of shared memory in block " +
                   text_of(t_self->block_index) + ": " + names[static_cast<int>(kind)] + " by thread " +
                   std::to_string(t_self->linear) + " at " + text_of_place(place) + ", " + relation + " the " +
                   names[static_cast<int>(earlier.kind)] + " by thread " + std::to_string(earlier.thread) + " at " +
                   text_of_place(earlier.place));
}

}  // namespace hb::simt
