#pragma once
#include <memory>
#include <string>

#include "runtime/storage.h"
#include "runtime/transfer.h"

namespace hb {

/// A file whose ranges stand for tensors. It stays open, so that a rename or a removal changes nothing, and is read,
/// not mapped into memory: where a file shrinks, a read comes up short and is an error like any other, an access to a
/// page beyond the new end is SIGBUS and the end of the process.
class WeightFile {
 public:
  /// Fails with IO when the file cannot be opened or is not a regular one.
  static Status open(const std::string& path, std::shared_ptr<WeightFile>* file);
  ~WeightFile();
  /// When it was opened.
  int64_t bytes() const { return bytes_; }
  /// BAD_MODEL unless the range lies within the file.
  Status check(int64_t offset, int64_t bytes) const;
  /// Copies a range. Fails with IO when it cannot be read whole. Any thread.
  Status read(int64_t offset, int64_t bytes, char* to) const;

 private:
  explicit WeightFile(std::string path) : path_(std::move(path)) {}
  const std::string path_;
  int file_ = -1;
  int64_t bytes_ = 0;
};

/// A tensor's bytes inside a file: read when an op first wants them, on a device by way of the host. They leave memory
/// with the last holder, past the context's memory, which would keep them, so that loading a model, tensor by tensor,
/// peaks near one copy.
class FileStorage : public Storage {
 public:
  /// `transfers`: of a context on a device, else null. The range must lie within the file.
  FileStorage(std::shared_ptr<WeightFile> file, int64_t offset, int64_t bytes, std::shared_ptr<Memory> memory,
              Transfers* transfers)
      : Storage(bytes, std::move(memory)), file_(std::move(file)), offset_(offset), transfers_(transfers) {}
  ~FileStorage() override;
  Status load() override { return allocate(); }
  Status allocate() override;

 private:
  Status read_here();
  Status read_there();

  std::shared_ptr<WeightFile> file_;
  int64_t offset_;
  Transfers* transfers_;
  void* pages_ = nullptr;  ///< of the host
  size_t page_bytes_ = 0;
};

}  // namespace hb
