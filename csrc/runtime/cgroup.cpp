#include "runtime/cgroup.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>
#include <vector>

namespace hb {

namespace {

/// Above this a number is version 1's way to say that there is no limit.
constexpr double kNoLimit = 4e18;

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, at);) parts.push_back(part);
  return parts;
}

bool holds(const std::string& list, const std::string& name) {
  const std::vector<std::string> names = split(list, ',');
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Blanks and the like are octal in mountinfo: "\040".
std::string unescape(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out += static_cast<char>(std::strtol(text.substr(i + 1, 3).c_str(), nullptr, 8));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::optional<double> number_of(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (end == text.c_str() || !(value >= 0) || value >= kNoLimit) return std::nullopt;  // "max", "-1"
  return value;
}

std::optional<double> read_number(const std::string& file) {
  std::ifstream in(file);
  std::string text;
  return in >> text ? number_of(text) : std::nullopt;
}

/// A line "name value" of a file.
double read_entry(const std::string& file, const std::string& name) {
  std::ifstream in(file);
  std::string key;
  double value = 0;
  while (in >> key >> value)
    if (key == name) return value;
  return 0;
}

void cut(double& least, double value) {
  if (least == 0 || value < least) least = value;
}

void cut(int64_t& least, double value) {
  const auto bytes = static_cast<int64_t>(std::max(0.0, value));
  if (least < 0 || bytes < least) least = bytes;
}

void read_cpu(const std::string& folder, bool v2, CgroupLimits& limits) {
  std::optional<double> quota, period;
  if (v2) {
    std::ifstream in(folder + "/cpu.max");
    std::string a, b;
    if (in >> a >> b) quota = number_of(a), period = number_of(b);
  } else {
    quota = read_number(folder + "/cpu.cfs_quota_us"), period = read_number(folder + "/cpu.cfs_period_us");
  }
  if (quota && period && *quota > 0 && *period > 0) cut(limits.cpus, *quota / *period);
}

void read_memory(const std::string& folder, bool v2, CgroupLimits& limits) {
  std::optional<double> limit = read_number(folder + (v2 ? "/memory.max" : "/memory.limit_in_bytes"));
  if (v2)  // above "high" the system slows a process down until it gives memory back
    if (auto high = read_number(folder + "/memory.high")) limit = std::min(limit.value_or(*high), *high);
  if (!limit) return;
  const double used = read_number(folder + (v2 ? "/memory.current" : "/memory.usage_in_bytes")).value_or(0);
  const double files = read_entry(folder + "/memory.stat", v2 ? "inactive_file" : "total_inactive_file");
  cut(limits.memory, *limit);
  cut(limits.available, *limit - std::max(0.0, used - files));
}

/// Where one hierarchy is mounted, and which of its groups is at the mount.
struct Mount {
  std::string point, group, type, controllers;
};

/// /proc/self/mountinfo: "30 22 0:27 <group> <point> rw [tags] - <type> <source> <options>".
std::vector<Mount> read_mounts(const std::string& root) {
  std::vector<Mount> mounts;
  std::ifstream in(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(in, line);) {
    const size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    const std::vector<std::string> left = split(line.substr(0, dash), ' '), right = split(line.substr(dash + 3), ' ');
    if (left.size() < 5 || right.size() < 3) continue;
    if (right[0] == "cgroup" || right[0] == "cgroup2")
      mounts.push_back({unescape(left[4]), unescape(left[3]), right[0], right[2]});
  }
  return mounts;
}

/// The group of this process below a mount: "" is the one at the mount.
std::string below(const std::string& path, const std::string& group) {
  if (path.empty() || path[0] != '/' || path.find("..") != std::string::npos) return "";  // not seen from here
  if (group == "/") return path == "/" ? "" : path;
  return path.compare(0, group.size() + 1, group + "/") == 0 ? path.substr(group.size()) : "";
}

}  // namespace

CgroupLimits cgroup_limits(const std::string& root) {
  CgroupLimits limits;
  const std::vector<Mount> mounts = read_mounts(root);
  std::ifstream in(root + "/proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    // "4:memory:/path", of version 2 "0::/path"
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), path = line.substr(second + 1);
    const bool v2 = controllers.empty();
    const bool cpu = v2 || holds(controllers, "cpu"), memory = v2 || holds(controllers, "memory");
    if (!cpu && !memory) continue;
    for (const Mount& mount : mounts) {
      if (v2 ? mount.type != "cgroup2"
             : mount.type != "cgroup" || !holds(mount.controllers, split(controllers, ',').front()))
        continue;
      std::string group = below(path, mount.group);
      for (;;) {
        const std::string folder = root + mount.point + group;
        if (cpu) read_cpu(folder, v2, limits);
        if (memory) read_memory(folder, v2, limits);
        if (group.empty()) break;
        group.resize(group.rfind('/'));
      }
      break;
    }
  }
  return limits;
}

}  // namespace hb
