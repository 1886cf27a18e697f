#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "core/status.h"
#include "runtime/memory.h"

namespace hb {

/// Bytes behind tensors, counted by std::shared_ptr: handles, queued jobs and programs each hold it. Memory is taken on
/// the executor when the first job that writes it runs, and goes back when the last holder lets go, so in queue order.
class Storage {
 public:
  Storage(int64_t bytes, std::shared_ptr<Memory> memory) : bytes_(bytes), memory_(std::move(memory)) {}
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  virtual ~Storage() {
    if (owned_) memory_->give(owned_, class_bytes_);
  }

  int64_t bytes() const { return bytes_; }
  void* data() const { return data_; }

  /// Makes the bytes readable; BAD_OPTION when nothing ever wrote them. Executor only.
  virtual Status load() {
    return data_ ? Status::success() : Status::fail(Code::BAD_OPTION, "the tensor was never written");
  }

  /// Takes the memory if it is not there yet.
  virtual Status allocate() {
    if (data_) return Status::success();
    owned_ = memory_->take(bytes_, &class_bytes_);
    if (!owned_)
      return Status::fail(Code::OUT_OF_MEMORY, "no memory for a tensor of " + std::to_string(bytes_) + " bytes");
    data_ = owned_;
    return Status::success();
  }

  /// Points into an arena that somebody else keeps alive.
  void place(void* data) { data_ = data; }

  /// Why the bytes are not to be trusted: the op that should have written them failed. Executor only.
  std::shared_ptr<const Status> failure;

  /// An intermediate of a recorded program: no use outside it.
  bool transient = false;

 protected:
  void* data_ = nullptr;

 private:
  int64_t bytes_;
  std::shared_ptr<Memory> memory_;
  void* owned_ = nullptr;
  int64_t class_bytes_ = 0;
};

using StoragePtr = std::shared_ptr<Storage>;

}  // namespace hb
