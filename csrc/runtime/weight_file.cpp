#include "runtime/weight_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

namespace hb {

namespace {

/// One read call moves less than 2 GiB.
constexpr int64_t kMostPerRead = 1 << 30;
/// What a read on its way to a device holds on the host.
constexpr int64_t kPiece = 4 << 20;

}  // namespace

Status WeightFile::open(const std::string& path, std::shared_ptr<WeightFile>* file) {
  std::shared_ptr<WeightFile> opened(new WeightFile(path));
  auto failed = [&](const char* what) {
    return Status::fail(Code::IO, std::string(what) + " " + path + ": " + std::strerror(errno));
  };
  // a pipe must not keep us waiting for its other end
  opened->file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (opened->file_ < 0) return failed("cannot open");
  struct stat info;
  if (fstat(opened->file_, &info) != 0) return failed("cannot read the size of");
  if (!S_ISREG(info.st_mode)) return Status::fail(Code::IO, "not a regular file: " + path);
  opened->bytes_ = info.st_size;
  *file = std::move(opened);
  return Status::success();
}

WeightFile::~WeightFile() {
  if (file_ >= 0) ::close(file_);
}

Status WeightFile::check(int64_t offset, int64_t bytes) const {
  if (offset >= 0 && bytes >= 0 && offset <= bytes_ && bytes <= bytes_ - offset) return Status::success();
  return Status::fail(Code::BAD_MODEL, path_ + ": a tensor reaches beyond the end of its file");
}

Status WeightFile::read(int64_t offset, int64_t bytes, char* to) const {
  for (int64_t done = 0; done < bytes;) {
    const auto wanted = static_cast<size_t>(std::min(kMostPerRead, bytes - done));
    const ssize_t got = pread(file_, to + done, wanted, offset + done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Status::fail(Code::IO, "cannot read " + path_ + ": " + std::strerror(errno));
    if (got == 0) return Status::fail(Code::IO, "cannot read " + path_ + ": it is shorter than it was when opened");
    done += got;
  }
  return Status::success();
}

FileStorage::~FileStorage() {
  if (pages_) munmap(pages_, page_bytes_);
}

Status FileStorage::allocate() {
  if (data_) return Status::success();
  return transfers_ ? read_there() : read_here();
}

Status FileStorage::read_here() {
  if (!pages_) {
    page_bytes_ = static_cast<size_t>(bytes() + kTail);
    void* p = mmap(nullptr, page_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
      return Status::fail(Code::OUT_OF_MEMORY, "no memory for a tensor of " + std::to_string(bytes()) + " bytes");
    pages_ = p;
  }
  if (Status s = file_->read(offset_, bytes(), static_cast<char*>(pages_)); !s.ok()) return s;
  data_ = pages_;
  return Status::success();
}

Status FileStorage::read_there() {
  std::vector<char> piece(static_cast<size_t>(std::min(kPiece, bytes())));
  if (Status s = Storage::allocate(); !s.ok()) return s;
  char* to = static_cast<char*>(std::exchange(data_, nullptr));  // not there before all of it is
  for (int64_t at = 0; at < bytes(); at += kPiece) {
    const int64_t size = std::min(kPiece, bytes() - at);
    if (Status s = file_->read(offset_ + at, size, piece.data()); !s.ok()) return s;
    if (Status s = transfers_->write(to + at, piece.data(), size); !s.ok()) return s;
  }
  data_ = to;
  return Status::success();
}

}  // namespace hb
