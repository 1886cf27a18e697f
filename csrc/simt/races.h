#pragma once
// The race detector of a block's shared memory. Kernel files are compiled with -fsanitize=thread but linked without its
// library: hooks.cpp gets every load and store. Vector clocks say which accesses are ordered by a barrier: of the
// block, named, or of a warp. Shuffles and votes order nothing, as on the device.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "simt/simt.h"

namespace hb::simt {

struct ThreadSet;

enum class Access : uint8_t { read, write, atomic };

/// A place in a kernel: an address of code, or a Site with the top bit set.
using Place = uint64_t;
Place place_of(Site site);
inline Place place_of(const void* code) { return reinterpret_cast<uint64_t>(code); }
std::string text_of_place(Place place);

class Races {
 public:
  /// Begins a block: nothing has been accessed.
  void start(unsigned char* shared, size_t bytes, unsigned threads);

  /// An access by the current thread. Ends the launch when it is not ordered after an earlier one of another thread and
  /// one of the two is a plain write, or a write and an atomic. Addresses outside shared memory are ignored.
  void access(const void* at, int bytes, Access kind, Place place);

  /// An asynchronous copy by the current thread: no one may touch its destination until it is waited for.
  void begin_copy(const void* to, int bytes, Place place);
  void end_copy(const void* to, int bytes, Place place);

  /// All threads of the block have met.
  void block_barrier() { ++epoch_; }
  /// The threads of one warp in `mask`, numbered from `first`, have met.
  void warp_barrier(unsigned first, uint32_t mask);

  /// A barrier that threads reach at different times: what each did before `arrive` comes before what others do after
  /// `wait`.
  struct Clock {
    uint32_t epoch = 0;
    std::vector<uint32_t> at;
  };
  void arrive(Clock& clock, unsigned thread);
  void wait(const Clock& clock, unsigned thread);

 private:
  struct Mark {
    uint32_t clock;
    uint16_t thread;
    Access kind;
    Place place;
  };
  struct Cell {
    uint32_t epoch = 0;  ///< marks of an older epoch lie before a block barrier
    uint8_t writes = 0, reads = 0, next_read = 0;
    Mark write, read[4];  ///< the last write, and the last read of up to four warps
  };
  uint32_t* row(unsigned thread);
  bool ordered(const Mark& mark, unsigned thread) const;

  unsigned char* shared_ = nullptr;
  size_t bytes_ = 0;
  unsigned threads_ = 0;
  uint32_t epoch_ = 0;
  [[noreturn]] void report(const char* other, const Mark& earlier, Access kind, Place place, size_t cell);
  std::vector<Cell> cells_;       ///< one per two bytes
  std::vector<uint8_t> copying_;  ///< cells that an asynchronous copy will write
  std::vector<uint32_t>
      seen_;  ///< [threads, threads]: what a thread knows of the others' clocks; valid in its row's epoch
  std::vector<uint32_t> row_epoch_;
};

}  // namespace hb::simt
