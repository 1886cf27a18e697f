#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace hb {

class Device;

/// Bytes behind every host block: kernels read a full vector at the end.
inline constexpr int64_t kTail = 64;

/// A context's memory of one kind: aligned blocks, freed ones kept for the next tensor of about their size, because
/// fresh pages cost more than the op that fills them. Also the counters that tests and `memory()` read.
class Memory {
 public:
  /// Where blocks come from. Any thread.
  class Source {
   public:
    virtual ~Source() = default;
    virtual void* take(int64_t bytes) = 0;
    virtual void give(void* block) = 0;
    /// Bytes of the block that serves a wish.
    virtual int64_t size_of(int64_t wanted) const = 0;
    /// Blocks go back at once, so that an access to a freed one is found.
    virtual bool keeps_none() const { return false; }
    /// give() may wait for the device: left to trim().
    virtual bool gives_late() const { return false; }
    /// Bytes of freed blocks that are kept.
    virtual int64_t most_kept() const { return 256 << 20; }
    /// Bytes of a block that the system has given.
    virtual int64_t resident(const void* block, int64_t bytes) const { return block ? bytes : 0; }
  };
  /// Host memory, 64-byte aligned.
  Memory();
  explicit Memory(std::unique_ptr<Source> source) : source_(std::move(source)) {}
  ~Memory();

  /// Null when there is no more. `*block_bytes` is what give() wants back.
  void* take(int64_t bytes, int64_t* block_bytes);
  void give(void* block, int64_t block_bytes);
  /// Gives blocks back that were kept, down to a bound. Executor only.
  void trim();
  /// Frees every block, live ones too: handles may outlive their context, its memory does not. Nothing runs any more
  /// that would touch one. Later take() gives null, later give() does nothing. Idempotent.
  void close();

  /// Bytes that the system has given for live and for kept blocks. Less than those of the blocks where pages come when
  /// they are first touched.
  int64_t resident();

  std::atomic<int64_t> bytes{0}, peak_bytes{0};  ///< of live blocks
  std::atomic<int64_t> allocations{0}, ops{0}, reads{0}, recordings{0}, runs{0};

 private:
  void* reuse(int64_t size, int64_t* block_bytes);
  void shrink(int64_t most);

  std::unique_ptr<Source> source_;  ///< null once closed
  std::mutex mutex_;
  std::map<int64_t, std::vector<void*>> free_;
  std::unordered_map<void*, int64_t> live_;  ///< block -> its bytes
  int64_t cached_ = 0;
  bool closed_ = false;
};

/// Device memory.
std::shared_ptr<Memory> device_memory(std::shared_ptr<Device> device);
/// Host memory that a device copies from and to.
std::shared_ptr<Memory> pinned_memory(std::shared_ptr<Device> device);

}  // namespace hb
