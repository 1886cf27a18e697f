#pragma once
// Device memory of the emulator.
#include <cstddef>
#include <mutex>
#include <unordered_map>

namespace hb::simt {

/// Blocks of guarded_allocate() that can be closed: host code that touches one then crashes, and says so.
class Heap {
 public:
  /// `closes`: blocks are closed but between open() and close().
  explicit Heap(bool closes);
  ~Heap();
  void* take(size_t bytes);
  void give(void* block);
  void open();
  void close();

 private:
  void protect(int protection);

  const bool closes_;
  std::mutex mutex_;
  std::unordered_map<void*, size_t> blocks_;  ///< bytes as mapped, that is up to the guard page
  int opened_ = 0;
};

}  // namespace hb::simt
