#pragma once
#include <memory>
#include <string>

#include "runtime/storage.h"

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

/// A tensor's bytes inside a mapping. Its pages leave memory with its last holder, so that loading a model, tensor by
/// tensor, peaks near one copy.
class MappedStorage : public Storage {
 public:
  MappedStorage(std::shared_ptr<Mapping> mapping, int64_t offset, int64_t bytes, std::shared_ptr<Memory> memory)
      : Storage(bytes, std::move(memory)), mapping_(std::move(mapping)), offset_(offset) {
    data_ = const_cast<char*>(mapping_->data()) + offset;
  }
  ~MappedStorage() override { mapping_->drop(offset_, bytes()); }
  Status allocate() override { return Status::success(); }

 private:
  std::shared_ptr<Mapping> mapping_;
  int64_t offset_;
};

}  // namespace hb
