#include <atomic>

#include "cuda/launch.h"

namespace hb::cuda {

namespace {
std::atomic<uint64_t> g_launches{0}, g_waits{0};
}  // namespace

Door door() { return {g_launches.load(std::memory_order_relaxed), g_waits.load(std::memory_order_relaxed)}; }
void count_launch() { g_launches.fetch_add(1, std::memory_order_relaxed); }
void count_wait() { g_waits.fetch_add(1, std::memory_order_relaxed); }

}  // namespace hb::cuda
