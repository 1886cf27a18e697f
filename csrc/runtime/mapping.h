#pragma once
#include <memory>
#include <string>

#include "runtime/storage.h"
#include "runtime/transfer.h"

namespace hb {

/// A file mapped read-only.
class Mapping {
 public:
  /// Fails with IO when the file cannot be opened or mapped.
  static Status open(const std::string& path, std::shared_ptr<Mapping>* mapping);
  ~Mapping();
  const char* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  /// Lets the pages that lie wholly within a range leave memory; they come back from the file when read again.
  void drop(int64_t offset, int64_t bytes) const;

 private:
  Mapping() = default;
  char* data_ = nullptr;
  int64_t bytes_ = 0;
};

/// A tensor's bytes inside a mapping: read where they are on the cpu, copied to a device when an op first wants them.
/// Its pages leave memory with its last holder, so that loading a model, tensor by tensor, peaks near one copy.
class MappedStorage : public Storage {
 public:
  /// `transfers`: of a context on a device, else null.
  MappedStorage(std::shared_ptr<Mapping> mapping, int64_t offset, int64_t bytes, std::shared_ptr<Memory> memory,
                Transfers* transfers)
      : Storage(bytes, std::move(memory)), mapping_(std::move(mapping)), offset_(offset), transfers_(transfers) {
    if (!transfers_) data_ = const_cast<char*>(mapping_->data()) + offset;
  }
  ~MappedStorage() override { mapping_->drop(offset_, bytes()); }
  Status load() override { return allocate(); }
  Status allocate() override {
    if (data_) return Status::success();
    if (Status s = Storage::allocate(); !s.ok()) return s;
    return transfers_->write(data_, mapping_->data() + offset_, bytes());
  }

 private:
  std::shared_ptr<Mapping> mapping_;
  int64_t offset_;
  Transfers* transfers_;
};

}  // namespace hb
