#pragma once
#include <cstdint>
#include <string>

namespace hb {

/// What control groups leave this process: the tightest of its own group and of those above it. Groups above the root
/// of a container are not seen from inside.
struct CgroupLimits {
  double cpus = 0;      ///< processors' worth of time; 0: no quota
  int64_t memory = -1;  ///< bytes, shared with the other processes of the group; -1: no limit
  int64_t available =
      -1;  ///< bytes that a limit leaves: what is used, but for files that are kept for speed; -1: no limit
};

/// Reads version 2 (cpu.max, memory.max, memory.high) and version 1 (cpu.cfs_quota_us, memory.limit_in_bytes),
/// whichever is mounted.
///
/// @param root goes before every path that is read, those that a file names too: tests make a system of their own
CgroupLimits cgroup_limits(const std::string& root = "");

}  // namespace hb
