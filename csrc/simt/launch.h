#pragma once
// Running a kernel on the emulator, for the launch door and for tests.
#include <functional>
#include <string>

#include "simt/counters.h"
#include "simt/simt.h"

namespace hb::simt {

/// Where launches wait for their turn.
class Queue {
 public:
  virtual ~Queue() = default;
  /// Runs `work` now or later. Returns what went wrong, as far as it is known yet.
  virtual std::string submit(std::function<std::string()> work) = 0;
};

/// How a kernel is run.
struct Options {
  uint64_t seed = 0;                ///< 0: threads and blocks in order; else a random but repeatable schedule
  bool races = true;                ///< check shared memory for races, where kernels were compiled for it
  int workers = 0;                  ///< OS threads that share a grid's blocks; 0: one per processor, at most 8
  size_t shared_limit = 99 * 1024;  ///< largest dynamic shared memory of a block: what every card from sm_80 on has
  Queue* queue = nullptr;           ///< null: launches run at once
};

struct Launch {
  Dim grid, block;
  size_t shared_bytes = 0;
  Site site;
};

/// Runs `body(context)` once per thread of the grid. Returns the empty text, or what went wrong.
std::string launch(const Launch& launch, void (*body)(void*), void* context, const Options& options);

/// Sums of all launches that are done, and those since the last take.
Counters counters();
Counters take_counters();

}  // namespace hb::simt
