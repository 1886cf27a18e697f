#pragma once
// One block in flight: its threads, what they wait for, and who runs next. Internal to the emulator.
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "simt/banks.h"
#include "simt/counters.h"
#include "simt/fiber.h"
#include "simt/launch.h"
#include "simt/races.h"

namespace hb::simt {

constexpr unsigned kMaxThreads = 1024, kWarp = 32, kNamedBarriers = 16;
constexpr size_t kSharedCapacity = 227 * 1024, kGuardBytes = 64 * 1024;

/// A set of the threads of a block.
struct ThreadSet {
  uint64_t word[kMaxThreads / 64] = {};
  void add(unsigned i) { word[i / 64] |= uint64_t{1} << i % 64; }
  void remove(unsigned i) { word[i / 64] &= ~(uint64_t{1} << i % 64); }
  bool has(unsigned i) const { return word[i / 64] >> i % 64 & 1; }
  /// The first member at or after `from`, going round; -1 when empty.
  int next(unsigned from) const;
};

struct AsyncCopy {
  void* to;
  const void* from;
  int bytes;
  Site site;
};

struct Thread : Self {
  Fiber fiber;
  const char* waits_at = nullptr;  ///< null: it can run or has finished
  uint32_t waits_with = 0;         ///< lanes of a collective, number of a barrier
  bool finished = false;
  Site site;  ///< of its last primitive
  std::vector<AsyncCopy> copies;
  size_t copies_done = 0, groups_done = 0;
  std::vector<size_t> groups;  ///< for each commit: how many copies had been issued
};

struct Barrier {
  unsigned expected = 0, arrived = 0;
  ThreadSet waiting, took_part;
  Site site;
  Races::Clock clock;
};

struct Collective {
  uint32_t mask = 0, got = 0;
  LaneFunction function = nullptr;
  const char* name = nullptr;
  Site site;
  void* lanes[kWarp];
};

struct Warp {
  std::array<Collective, kWarp> open;  ///< those with `got` != 0 wait for lanes
  unsigned used = 0;
};

/// Runs blocks one after another on the OS thread that owns it.
class Block {
 public:
  Block();
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  /// Runs one block of the launch; false when it failed, with the reason in `error`.
  bool run(const Launch& launch, uint64_t index, void (*body)(void*), void* context, const Options& options);

  std::string error;
  Counters counters;

  // For primitives, on a fiber.
  Thread& current() { return *static_cast<Thread*>(t_self); }
  void block_barrier(Site site);
  void named_barrier(int id, unsigned threads, bool wait, Site site);
  void warp_collective(uint32_t mask, LaneFunction function, void* argument, const char* name, Site site, bool orders);
  void begin_copy(void* to, Site site) {
    if (races_on_) races_->begin_copy(to, 16, place_of(site));
  }
  void finish_copies(Thread& thread, size_t until);
  /// Counts a load or store of 16 bytes of shared memory by the current thread.
  void count_banks(const void* at, Site site) {
    const Thread& t = current();
    banks_.access(t.linear / kWarp, t.linear % kWarp, at, site);
  }
  /// In a random schedule, now and then lets another thread run.
  void maybe_yield();
  [[noreturn]] void fail(std::string text, Site site);
  [[noreturn]] void fail_at(const std::string& text);  ///< no prefix; leaves the fiber for good
  /// Where shared memory begins and how much of it the launch asked for.
  unsigned char* shared() const { return shared_; }
  size_t shared_bytes() const { return launch_->shared_bytes; }
  bool beyond_shared(const void* address) const {
    return address >= shared_end_ && address < shared_end_ + kGuardBytes;
  }
  bool in_shared(const void* address) const { return address >= shared_ && address < shared_end_; }
  /// Ends the launch when the range leaves the block's shared memory or is not aligned to `alignment`.
  void check_shared(const void* address, int bytes, int alignment, const char* what, Site site);
  /// An access of the current thread that the race detector should see; `kind` and `place` as there.
  void access(const void* at, int bytes, Access kind, Place place);
  /// The fault handler's way out: records and leaves the fiber.
  [[noreturn]] void fault(const void* address, const void* instruction);
  const Launch& launch() const { return *launch_; }

 private:
  static void entry();
  [[noreturn]] void finish();
  void block(Thread& thread, const char* what, uint32_t with);
  void wake(unsigned linear);
  int pick(unsigned from);
  void go_to(unsigned next, Fiber& from);
  [[noreturn]] void leave();
  [[noreturn]] void report_deadlock();
  void arrive(Barrier& barrier, unsigned expected, bool wait, Thread& self, int id, Site site);
  uint64_t random();
  std::string name_of(const Thread& thread) const;

  Stacks stacks_;
  Fiber base_;
  std::vector<Thread> threads_;
  unsigned count_ = 0, left_ = 0;
  ThreadSet runnable_;
  std::array<Barrier, kNamedBarriers> barriers_;
  std::array<Warp, kMaxThreads / kWarp> warps_;
  unsigned char *area_ = nullptr, *shared_ = nullptr, *shared_end_ = nullptr;
  const Launch* launch_ = nullptr;
  void (*body_)(void*) = nullptr;
  void* context_ = nullptr;
  uint64_t random_state_ = 0;
  bool random_ = false, races_on_ = false, failed_ = false;
  const Thread* faulted_ = nullptr;  ///< whose access faulted, and where
  const void *fault_address_ = nullptr, *fault_instruction_ = nullptr;
  std::unique_ptr<Races> races_;
  Banks banks_;
};

/// The block that this OS thread runs, or null outside kernels.
extern constinit thread_local Block* t_block __attribute__((tls_model("initial-exec")));

/// "file.cu:12"
std::string text_of(Site site);
/// "(1, 0, 0)"
std::string text_of(Dim dim);

}  // namespace hb::simt
