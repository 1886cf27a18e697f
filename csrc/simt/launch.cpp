#include "simt/launch.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "simt/block.h"
#include "simt/faults.h"

namespace hb::simt {

namespace {

std::mutex g_counters_mutex;
Counters g_counters;

/// The grid of one launch, shared by the threads that run its blocks. Blocks are handed out in order, so that every
/// block before the first that fails has run: the failure reported does not depend on the number of workers.
struct Grid {
  const Launch& launch;
  void (*body)(void*);
  void* context;
  Options options;
  uint64_t blocks;
  std::atomic<uint64_t> next{0};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  uint64_t failed_turn = ~uint64_t{0};
  std::string error;
};

void run_blocks(Grid& grid) {
  // on the heap: a library that is loaded late has little room for variables of threads
  static thread_local const std::unique_ptr<Block> own = std::make_unique<Block>();
  Block& block = *own;
  catch_faults();
  block.counters = {};
  while (!grid.stop.load(std::memory_order_relaxed)) {
    const uint64_t turn = grid.next.fetch_add(1, std::memory_order_relaxed);
    if (turn >= grid.blocks) break;
    // Any order of blocks is lawful; every other random schedule begins with the last.
    const uint64_t index = grid.options.seed & 1 ? grid.blocks - 1 - turn : turn;
    if (block.run(grid.launch, index, grid.body, grid.context, grid.options)) continue;
    grid.stop = true;
    const std::lock_guard lock(grid.mutex);
    if (turn < grid.failed_turn) grid.failed_turn = turn, grid.error = block.error;
  }
  const std::lock_guard lock(g_counters_mutex);
  g_counters.add(block.counters);
}

/// Threads that help with large grids. Never ends: a process may be left while they wait.
class Helpers {
 public:
  static Helpers& get() {
    static Helpers* const one = new Helpers;
    return *one;
  }

  /// Runs `work` on `count` helpers and the calling thread; on the caller alone while another launch has the helpers.
  void run(int count, const std::function<void()>& work) {
    const std::unique_lock busy(busy_, std::try_to_lock);
    if (!busy) return work();
    {
      const std::lock_guard lock(mutex_);
      while (static_cast<int>(threads_) < count) {
        std::thread([this, id = threads_] { loop(static_cast<int>(id)); }).detach();
        ++threads_;
      }
      work_ = &work, wanted_ = count, running_ = count;
      ++turn_;
    }
    wake_.notify_all();
    work();
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return running_ == 0; });
  }

 private:
  void loop(int id) {
    uint64_t seen = 0;
    for (;;) {
      const std::function<void()>* work;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return turn_ != seen; });
        seen = turn_;
        if (id >= wanted_) continue;
        work = work_;
      }
      (*work)();
      const std::lock_guard lock(mutex_);
      if (--running_ == 0) done_.notify_one();
    }
  }

  std::mutex busy_, mutex_;
  std::condition_variable wake_, done_;
  unsigned threads_ = 0;
  uint64_t turn_ = 0;
  int wanted_ = 0, running_ = 0;
  const std::function<void()>* work_ = nullptr;
};

std::string check(const Launch& l, const Options& options) {
  const uint64_t threads = uint64_t{l.block.x} * l.block.y * l.block.z;
  if (l.grid.x == 0 || l.grid.y == 0 || l.grid.z == 0 || threads == 0) return "the grid or the block is empty";
  if (threads > kMaxThreads || l.block.z > 64) return "a block has at most 1024 threads, 64 of them in z";
  if (l.grid.x > 0x7fffffffu || l.grid.y > 65535 || l.grid.z > 65535)
    return "a grid is at most 2147483647 x 65535 x 65535 blocks";
  if (l.shared_bytes > std::min(options.shared_limit, kSharedCapacity))
    return std::to_string(l.shared_bytes) + " bytes of shared memory asked for, a block has " +
           std::to_string(std::min(options.shared_limit, kSharedCapacity));
  return {};
}

}  // namespace

std::string launch(const Launch& l, void (*body)(void*), void* context, const Options& options) {
  Grid grid{l, body, context, options, uint64_t{l.grid.x} * l.grid.y * l.grid.z, {}, {}, {}, ~uint64_t{0}, {}};
  if (std::string wrong = check(l, options); !wrong.empty()) return text_of(l.site) + ": " + wrong;
  if (t_block) return text_of(l.site) + ": a kernel launches a kernel";
  int workers = options.workers;
  if (workers <= 0) workers = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 8u));
  workers = static_cast<int>(std::min<uint64_t>(static_cast<uint64_t>(workers), grid.blocks));
  // A wake-up costs as much as a few thousand threads of a small kernel.
  if (grid.blocks * l.block.x * l.block.y * l.block.z < 4096) workers = 1;
  if (workers <= 1) {
    run_blocks(grid);
  } else {
    Helpers::get().run(workers - 1, [&] { run_blocks(grid); });
  }
  const std::lock_guard lock(g_counters_mutex);
  ++g_counters.launches;
  return grid.error;
}

Counters counters() {
  const std::lock_guard lock(g_counters_mutex);
  return g_counters;
}

Counters take_counters() {
  const std::lock_guard lock(g_counters_mutex);
  return std::exchange(g_counters, {});
}

}  // namespace hb::simt
