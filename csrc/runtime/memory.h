#pragma once
#include <atomic>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace hb {

/// A context's host memory: 64-byte aligned blocks, freed ones kept for the next tensor of their size class, because
/// fresh pages cost more than the op that fills them. Also the counters that tests and `memory()` read.
class Memory {
 public:
  ~Memory();
  /// Null when the system has no more. `*class_bytes` is what give() wants back.
  void* take(int64_t bytes, int64_t* class_bytes);
  void give(void* block, int64_t class_bytes);
  /// Frees every block, live ones too: handles may outlive their context, its memory does not. Nothing runs any more
  /// that would touch one. Later take() gives null, later give() does nothing. Idempotent.
  void close();

  std::atomic<int64_t> bytes{0}, peak_bytes{0};  ///< of live blocks
  std::atomic<int64_t> allocations{0}, ops{0}, reads{0}, recordings{0}, runs{0};

 private:
  static constexpr int64_t kMostCached = 256 << 20;
  std::mutex mutex_;
  std::unordered_map<int64_t, std::vector<void*>> free_;
  std::unordered_set<void*> live_;
  int64_t cached_ = 0;
  bool closed_ = false;
};

}  // namespace hb
