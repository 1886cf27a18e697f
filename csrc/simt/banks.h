#pragma once
// Shared memory has 32 banks of 4 bytes: lanes of a warp that want different words of one bank take turns. Counts
// turns, each of which moves at most 128 bytes.
#include <cstdint>
#include <vector>

#include "simt/simt.h"

namespace hb::simt {

/// Turns that up to eight pieces of 16 bytes take at once; null: a lane without.
unsigned turns_of(const void* const (&pieces)[8]);

/// Puts together what lanes do one after another: the n-th access of each lane of a warp from one place is one
/// instruction of the warp, whatever the schedule.
class Banks {
 public:
  void start(unsigned warps);
  /// An access of 16 bytes by a lane of a warp.
  void access(unsigned warp, unsigned lane, const void* at, Site site);
  /// Turns since the start.
  uint64_t finish();

 private:
  struct Together {
    uint32_t lanes = 0;
    const void* at[32];
  };
  struct Place {
    Site site;
    uint32_t done = 0;           ///< accesses that all lanes have made
    uint32_t made[32] = {};      ///< by each lane
    std::vector<Together> open;  ///< from access `done` on
  };
  void close(const Together& together);

  std::vector<std::vector<Place>> warps_;
  uint64_t turns_ = 0;
};

}  // namespace hb::simt
