#pragma once
#include <sched.h>
#include <cstdio>
#include <cstdlib>
#include <atomic>
#include "runtime/profiler.h"
namespace hb {
struct Stamp {
  int tag, cpu;
  int64_t ns;
};
inline Stamp g_stamps[400000];
inline std::atomic<int> g_n{0};
inline int64_t stamp_now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}
inline void stamp(int tag) {
  int i = g_n.fetch_add(1);
  if (i < 400000) g_stamps[i] = {tag, sched_getcpu(), stamp_now()};
}
inline struct StampDump {
  ~StampDump() {
    if (!getenv("STAMPS")) return;
    FILE* f = fopen(getenv("STAMPS"), "w");
    for (int i = 0; i < g_n && i < 400000; i++)
      fprintf(f, "%d %d %lld\n", g_stamps[i].tag, g_stamps[i].cpu, (long long)g_stamps[i].ns);
    fclose(f);
  }
} g_dump;
}  // namespace hb
