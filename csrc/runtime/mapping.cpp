#include "runtime/mapping.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace hb {

Status Mapping::open(const std::string& path, std::shared_ptr<Mapping>* mapping) {
  auto failed = [&](const char* what) {
    return Status::fail(Code::IO, std::string(what) + " " + path + ": " + std::strerror(errno));
  };
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return failed("cannot open");
  struct stat info;
  Status status = Status::success();
  std::shared_ptr<Mapping> m(new Mapping());
  if (fstat(file, &info) != 0) {
    status = failed("cannot read the size of");
  } else if (!S_ISREG(info.st_mode)) {
    status = Status::fail(Code::IO, "not a regular file: " + path);
  } else if (info.st_size > 0) {
    void* p = mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_PRIVATE, file, 0);
    if (p == MAP_FAILED)
      status = failed("cannot map");
    else
      m->data_ = static_cast<char*>(p), m->bytes_ = info.st_size;
  }
  ::close(file);
  if (status.ok()) *mapping = std::move(m);
  return status;
}

Mapping::~Mapping() {
  if (data_) munmap(data_, static_cast<size_t>(bytes_));
}

void Mapping::drop(int64_t offset, int64_t bytes) const {
  const int64_t page = sysconf(_SC_PAGESIZE), first = (offset + page - 1) / page * page,
                last = (offset + bytes) / page * page;
  if (last > first) madvise(data_ + first, static_cast<size_t>(last - first), MADV_DONTNEED);
}

}  // namespace hb
