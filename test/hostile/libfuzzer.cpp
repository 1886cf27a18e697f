// The native code that reads bytes of files, as a libFuzzer target: ranges of weight files, and the limits of control
// groups. See README.md for what of a file native code sees. With HB_RANDOM_INPUTS it brings a main() of its own, which
// makes inputs at random, for compilers without libFuzzer: PROGRAM COUNT FIRST_SEED FILE, where FILE gets each input
// before it is used.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "runtime/cgroup.h"
#include "runtime/registry.h"
#include "runtime/weight_file.h"

namespace {

using hb::Status;

[[noreturn]] void wrong(const char* what) {
  std::fprintf(stderr, "ERROR: %s\n", what);
  std::abort();
}

void require(bool holds, const char* what) {
  if (!holds) wrong(what);
}

/// A folder of this process, in memory where there is such a place. Leaves with the process.
struct Folder {
  std::string path;
  Folder() {
    char name[] = "/dev/shm/hyper-bagel-native-XXXXXX", other[] = "/tmp/hyper-bagel-native-XXXXXX";
    const char* made = mkdtemp(name);
    if (!made) made = mkdtemp(other);
    if (!made) wrong("no place for files");
    path = made;
    for (const char* below : {"/proc", "/proc/self", "/cg", "/cg/a"})
      require(mkdir((path + below).c_str(), 0700) == 0, "no place for files");
  }
  ~Folder() {
    for (const std::string& file : files) unlink((path + file).c_str());
    for (const char* below : {"/cg/a", "/cg", "/proc/self", "/proc", ""}) rmdir((path + below).c_str());
  }
  std::string write(const std::string& name, const char* bytes, size_t count) {
    const std::string file = path + name;
    const int f = open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    require(f >= 0 && ::write(f, bytes, count) == static_cast<ssize_t>(count), "cannot write a file");
    close(f);
    if (std::find(files.begin(), files.end(), name) == files.end()) files.push_back(name);
    return file;
  }
  std::vector<std::string> files;
};

Folder& folder() {
  static Folder made;
  return made;
}

/// Offset and length of a range (8 bytes each), what the file is cut to once it is open (1 byte, 255: it is not), the
/// file.
void read_range(const char* data, size_t size) {
  int64_t offset = 0, bytes = 0;
  if (size < 17) return;
  std::memcpy(&offset, data, 8);
  std::memcpy(&bytes, data + 8, 8);
  const auto left = static_cast<uint8_t>(data[16]);
  data += 17, size -= 17;
  const auto length = static_cast<int64_t>(size);
  const std::string file = folder().write("/weights", data, size);
  std::shared_ptr<hb::WeightFile> opened;
  require(hb::WeightFile::open(file, &opened).ok() && opened->bytes() == length, "a regular file does not open");
  const bool within = offset >= 0 && bytes >= 0 && offset <= length && bytes <= length - offset;
  const Status checked = opened->check(offset, bytes);
  require(checked.ok() == within, "the check of a range is wrong");
  if (!within) return;
  const bool cut = left != 255 && left < length;
  if (cut) require(truncate(file.c_str(), left) == 0, "cannot cut a file");
  hb::FileStorage storage(opened, offset, bytes, std::make_shared<hb::Memory>(), nullptr);
  const Status loaded = storage.load();
  const bool whole = bytes == 0 || !cut || offset + bytes <= left;
  require(loaded.ok() == whole, "a range is read that is not there, or is there and is not read");
  if (whole)
    require(std::memcmp(storage.data(), data + offset, static_cast<size_t>(bytes)) == 0, "other bytes are read");
}

/// The files of a system, each up to a byte 0; what comes first is whether its groups are of version 2.
void read_limits(const char* data, size_t size) {
  if (size == 0) return;
  const bool v2 = data[0] & 1, mounts = data[0] & 2;
  const std::vector<std::string> first = {"/proc/self/cgroup", "/proc/self/mountinfo"};
  const std::vector<std::string> rest =
      v2 ? std::vector<std::string>{"cpu.max", "memory.max", "memory.high", "memory.current", "memory.stat"}
         : std::vector<std::string>{"cpu.cfs_quota_us", "cpu.cfs_period_us", "memory.limit_in_bytes",
                                    "memory.usage_in_bytes", "memory.stat"};
  for (const std::string& name : std::vector<std::string>(folder().files)) folder().write(name, "", 0);
  // numbers are reached more often when the way to them is there
  const std::string groups = v2 ? "0::/a\n" : "4:cpu,cpuacct:/a\n5:memory:/a\n";
  const std::string mounted = v2 ? "30 22 0:27 / /cg rw - cgroup2 cgroup rw\n"
                                 : "30 22 0:27 / /cg rw - cgroup cgroup rw,cpu,cpuacct\n"
                                   "31 22 0:28 / /cg rw - cgroup cgroup rw,memory\n";
  folder().write(first[0], groups.data(), groups.size());
  folder().write(first[1], mounted.data(), mounted.size());
  std::vector<std::string> names;
  if (mounts) names = first;
  for (const char* group : {"/cg/a/", "/cg/"})
    for (const std::string& name : rest) names.push_back(group + name);
  size_t at = 1;
  for (const std::string& name : names) {
    const void* zero = at < size ? std::memchr(data + at, 0, size - at) : nullptr;
    const size_t end = zero ? static_cast<size_t>(static_cast<const char*>(zero) - data) : size;
    folder().write(name, data + std::min(at, size), end - std::min(at, size));
    at = std::min(size, end + 1);
  }
  const hb::CgroupLimits limits = hb::cgroup_limits(folder().path);
  require(limits.cpus >= 0, "a quota below zero, or none that is a number");
  require(limits.memory >= -1 && limits.available >= -1, "a limit below zero");
  require(limits.available <= limits.memory, "more is left than a limit allows");
  const int threads = hb::usable_threads(folder().path);
  require(threads >= 1 && threads <= 256, "a count of threads that nobody can use");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size == 0) return 0;
  const char* data = reinterpret_cast<const char*>(bytes) + 1;
  if (bytes[0] & 1)
    read_range(data, size - 1);
  else
    read_limits(data, size - 1);
  return 0;
}

#ifdef HB_RANDOM_INPUTS
#include <random>

namespace {

using Random = std::mt19937_64;

size_t below(Random& random, size_t count) { return static_cast<size_t>(random() % count); }

/// What numbers and lines of these files are made of, and what they are not.
std::string token(Random& random) {
  static const std::vector<std::string> known = {"max",
                                                 "-1",
                                                 "0",
                                                 "1",
                                                 "100000",
                                                 "9223372036854771712",
                                                 "18446744073709551615",
                                                 "4e18",
                                                 "1e308",
                                                 "1e-320",
                                                 "nan",
                                                 "inf",
                                                 "-0",
                                                 " ",
                                                 "\n",
                                                 ":",
                                                 "::/",
                                                 "/",
                                                 "..",
                                                 ",",
                                                 "0::/a\n",
                                                 "4:cpu:/a\n",
                                                 " - ",
                                                 "cgroup",
                                                 "cgroup2",
                                                 "\\040",
                                                 "\\",
                                                 "\\9",
                                                 "/cg",
                                                 "inactive_file ",
                                                 "total_inactive_file ",
                                                 "30 22 0:27 / /cg rw - cgroup2 cgroup rw\n",
                                                 "memory",
                                                 "cpu",
                                                 "0x1p+70"};
  if (below(random, 8) > 0) return known[below(random, known.size())];
  std::string text(below(random, 40), '\0');
  for (char& c : text) c = static_cast<char>(1 + below(random, 255));
  return text;
}

int64_t edge(Random& random, int64_t length) {
  const int64_t far[] = {INT64_MAX, INT64_MIN, int64_t{1} << 53, -1};
  if (below(random, 6) == 0) return far[below(random, 4)];
  if (below(random, 8) == 0) return static_cast<int64_t>(random());
  return static_cast<int64_t>(below(random, static_cast<size_t>(length) + 3));
}

std::string input(Random& random) {
  if (random() & 1) {
    std::string file(below(random, 400), '\0');
    for (char& c : file) c = static_cast<char>(random());
    const auto length = static_cast<int64_t>(file.size());
    const int64_t range[] = {edge(random, length), edge(random, length)};
    const char left = static_cast<char>(random() & 1 ? 255 : below(random, 255));
    return std::string("\1") + std::string(reinterpret_cast<const char*>(range), sizeof range) + left + file;
  }
  std::string text(1, '\0');
  text += static_cast<char>(below(random, 4));
  for (size_t file = 0; file < 12; ++file, text += '\0')
    for (size_t n = below(random, 6); n > 0; --n) text += token(random);
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const unsigned long count = std::strtoul(argv[1], nullptr, 10), first = std::strtoul(argv[2], nullptr, 10);
  for (unsigned long seed = first; seed < first + count; ++seed) {
    Random random(seed);
    const std::string bytes = input(random);
    std::FILE* kept = std::fopen(argv[3], "wb");
    require(kept && std::fwrite(bytes.data(), 1, bytes.size(), kept) == bytes.size(), "cannot keep an input");
    std::fclose(kept);
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  }
  std::printf("%lu inputs\n", count);
  return 0;
}
#endif
