#pragma once
// The emulator of the CUDA execution model, as the primitives of csrc/cuda/prim see it. Test-only: never published.
//
// One OS thread runs one block at a time; each CUDA thread of the block is a fiber. A thread that must wait switches
// straight to the next one that can run. Every function below is called by a thread of a running kernel unless it says
// otherwise. What it finds wrong ends the launch with a text; see launch.h.
#include <cstddef>
#include <cstdint>
#include <source_location>

namespace hb::simt {

/// The place in a kernel that a report names.
using Site = std::source_location;

struct Dim {
  unsigned x = 1, y = 1, z = 1;
};

/// What a thread knows about itself.
struct Self {
  Dim thread_index, block_index, block_dim, grid_dim;
  unsigned linear = 0;  ///< number in its block, x fastest
};

extern constinit thread_local Self* t_self __attribute__((tls_model("initial-exec")));
inline const Self& self() { return *t_self; }

/// Ends the launch with this text.
[[noreturn]] void fail(const char* text, Site site);

// --- Barriers of the block ---

/// Waits for all threads of the block. All must come from the same line.
void block_barrier(Site site);
/// Barrier `id` of 16 for `threads` threads, a multiple of 32; `wait` false: arrives only.
void named_barrier(int id, unsigned threads, bool wait, Site site);

// --- Collectives of a warp ---

/// What the last lane to arrive does for all: `lanes[i]` is lane i's argument where `mask` has bit i.
using LaneFunction = void (*)(void* const* lanes, uint32_t mask);
/// Waits until every lane of `mask` has come here with the same function from the same line.
void warp_collective(uint32_t mask, LaneFunction function, void* argument, const char* name, Site site);
/// The same for nothing but memory order among the lanes.
void warp_barrier(uint32_t mask, Site site);

// --- Memory ---

/// The dynamic shared memory of the block.
unsigned char* shared_memory();
/// Queues a copy of 16 bytes to shared memory, the first `bytes` from `from`, the rest zeros; done by `copy_wait`.
void copy_async16(void* to, const void* from, int bytes, Site site);
void copy_commit();
/// Finishes all but the last `pending` committed groups; -1: every copy.
void copy_wait(int pending);
/// Checks a load or store of `bytes` bytes, aligned to them, that a primitive is about to make, and counts it.
void load_access(const void* from, int bytes, Site site);
void store_access(const void* to, int bytes, Site site);
/// Called before an atomic operation: checks it and lets another thread run now and then.
void atomic_access(const void* at, int bytes, Site site);

// --- Tensor cores ---

/// ldmatrix .x4 or .x2 of 8x8 16-bit matrices; `row`: the address that this lane gives.
void load_matrices(uint32_t* out, int count, bool transposed, const void* row, Site site);
/// d[16x8] += a[16x16] b[16x8], bf16 in, f32 out.
void multiply_bf16(float* d, const uint32_t* a, const uint32_t* b, Site site);

}  // namespace hb::simt
