#pragma once
// The primitives on the emulator. Included by prim.h alone.
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>

#include "simt/simt.h"

#define HB_KERNEL
#define HB_DEVICE inline
#define HB_BOUNDS(threads, blocks)
#define HB_UNROLL
#define HB_ROLLED
#define HB_DYN_SMEM(name) unsigned char* const name = ::hb::simt::shared_memory()

// The place that reports name: where the primitive was called.
#define HB_SITE ::hb::simt::Site site = ::hb::simt::Site::current()
#define HB_AND_SITE , HB_SITE
#define HB_PASS_SITE , site
// Code of the emulator inside kernel files: not the kernel's own loads and stores.
#define HB_EMULATED __attribute__((no_sanitize("thread"), noinline)) inline

namespace hb::cuda {

// --- Indices ---
inline unsigned thread_x() { return simt::self().thread_index.x; }
inline unsigned thread_y() { return simt::self().thread_index.y; }
inline unsigned thread_z() { return simt::self().thread_index.z; }
inline unsigned block_x() { return simt::self().block_index.x; }
inline unsigned block_y() { return simt::self().block_index.y; }
inline unsigned block_z() { return simt::self().block_index.z; }
inline unsigned threads_x() { return simt::self().block_dim.x; }
inline unsigned threads_y() { return simt::self().block_dim.y; }
inline unsigned threads_z() { return simt::self().block_dim.z; }
inline unsigned blocks_x() { return simt::self().grid_dim.x; }
inline unsigned blocks_y() { return simt::self().grid_dim.y; }
inline unsigned blocks_z() { return simt::self().grid_dim.z; }
/// Number of the thread in its block, x fastest.
inline unsigned linear_thread() { return simt::self().linear; }

// --- Bits ---
HB_DEVICE int opaque(int v) { return v; }
inline float as_f32(uint32_t v) { return std::bit_cast<float>(v); }
inline uint32_t as_u32(float v) { return std::bit_cast<uint32_t>(v); }
inline int popcount(uint32_t v) { return std::popcount(v); }
inline int popcount(uint64_t v) { return std::popcount(v); }
/// Leading zeros; 32 or 64 for 0.
inline int leading_zeros(uint32_t v) { return std::countl_zero(v); }
inline int leading_zeros(uint64_t v) { return std::countl_zero(v); }
/// Number of the lowest set bit plus 1; 0 for 0.
inline int first_set(uint32_t v) { return v ? std::countr_zero(v) + 1 : 0; }
inline int first_set(uint64_t v) { return v ? std::countr_zero(v) + 1 : 0; }
/// High word of the product.
inline uint32_t multiply_high(uint32_t a, uint32_t b) { return static_cast<uint32_t>(uint64_t{a} * b >> 32); }

// --- Arithmetic with one rounding each, never contracted ---
inline float add_rn(float a, float b) { return a + b; }
inline float sub_rn(float a, float b) { return a - b; }
inline float mul_rn(float a, float b) { return a * b; }
inline float div_rn(float a, float b) { return a / b; }
inline float fma_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline double fma_rn(double a, double b, double c) { return __builtin_fma(a, b, c); }
inline float sqrt_rn(float v) { return __builtin_sqrtf(v); }
/// To the nearest integer, ties to even.
inline int32_t round_to_i32(float v) { return static_cast<int32_t>(std::nearbyintf(v)); }
inline int32_t truncate_to_i32(float v) { return static_cast<int32_t>(v); }

// --- Functions good to a few ulp; not the same bits everywhere ---
inline float fast_exp2(float v) { return std::exp2(v); }
inline float exp_f32(float v) { return std::exp(v); }
inline float log_f32(float v) { return std::log(v); }
inline float tanh_f32(float v) { return std::tanh(v); }
inline double exp_f64(double v) { return std::exp(v); }
inline double log_f64(double v) { return std::log(v); }
inline double pow_f64(double v, double power) { return std::pow(v, power); }
inline double sqrt_f64(double v) { return std::sqrt(v); }

// --- bf16 ---
/// To nearest, ties to even.
inline uint16_t f32_to_bf16(float v) {
  const uint32_t u = as_u32(v);
  if ((u & 0x7fffffffu) > 0x7f800000u) return 0x7fff;  // what the device's conversion gives for any NaN
  return static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}
/// Two in a word, `low` in the lower half.
inline uint32_t pack_bf16(float low, float high) {
  return f32_to_bf16(low) | static_cast<uint32_t>(f32_to_bf16(high)) << 16;
}

// --- Barriers ---
inline void sync_block(HB_SITE) { simt::block_barrier(site); }
/// Barrier `id`, 1 to 15, for `threads` threads of the block, whole warps.
inline void sync_named(int id, unsigned threads, HB_SITE) { simt::named_barrier(id, threads, true, site); }
/// Counts as having come to the barrier without waiting.
inline void arrive_named(int id, unsigned threads, HB_SITE) { simt::named_barrier(id, threads, false, site); }
/// Orders memory among the lanes of `mask`; shuffles and votes do not.
inline void sync_warp(uint32_t mask, HB_SITE) { simt::warp_barrier(mask, site); }

// --- Warp collectives ---
namespace emulated {

template <class T>
struct Exchange {
  T in, out;
  int from;  ///< lane to read
};

template <class T>
HB_EMULATED void exchange_lanes(void* const* lanes, uint32_t mask) {
  for (uint32_t rest = mask; rest; rest &= rest - 1) {
    auto& mine = *static_cast<Exchange<T>*>(lanes[std::countr_zero(rest)]);
    if (mask >> mine.from & 1) {
      mine.out = static_cast<Exchange<T>*>(lanes[mine.from])->in;
    } else {
      std::memset(&mine.out, 0xFF, sizeof(T));  // a lane that is not there holds anything
    }
  }
}

template <class T>
HB_EMULATED T exchange(uint32_t mask, T v, int from, const char* name, simt::Site site) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  Exchange<T> e{v, v, from};
  simt::warp_collective(mask, exchange_lanes<T>, &e, name, site);
  return e.out;
}

inline int own_lane() { return static_cast<int>(simt::self().linear % 32); }

template <class T>
struct Reduction {
  T in, out;
};

/// Every lane gets `combine` over the lanes of the mask, from lane 0 up.
template <class T, class Combine>
HB_EMULATED void reduce_lanes(void* const* lanes, uint32_t mask) {
  const auto of = [&](int lane) { return static_cast<Reduction<T>*>(lanes[lane]); };
  T sum = of(std::countr_zero(mask))->in;
  for (uint32_t rest = mask & (mask - 1); rest; rest &= rest - 1) sum = Combine{}(sum, of(std::countr_zero(rest))->in);
  for (uint32_t rest = mask; rest; rest &= rest - 1) of(std::countr_zero(rest))->out = sum;
}

template <class Combine, class T>
HB_EMULATED T reduce(uint32_t mask, T v, const char* name, simt::Site site) {
  Reduction<T> r{v, v};
  simt::warp_collective(mask, reduce_lanes<T, Combine>, &r, name, site);
  return r.out;
}

HB_EMULATED void vote_lanes(void* const* lanes, uint32_t mask) {
  uint32_t votes = 0;
  for (uint32_t rest = mask; rest; rest &= rest - 1)
    if (static_cast<Reduction<uint32_t>*>(lanes[std::countr_zero(rest)])->in) votes |= rest & (~rest + 1);
  for (uint32_t rest = mask; rest; rest &= rest - 1)
    static_cast<Reduction<uint32_t>*>(lanes[std::countr_zero(rest)])->out = votes;
}

HB_EMULATED uint32_t vote(uint32_t mask, bool v, const char* name, simt::Site site) {
  Reduction<uint32_t> r{v, 0};
  simt::warp_collective(mask, vote_lanes, &r, name, site);
  return r.out;
}

template <class T>
struct Match {
  T in;
  uint32_t out;
};

template <class T>
HB_EMULATED void match_lanes(void* const* lanes, uint32_t mask) {
  const auto of = [&](int lane) { return static_cast<Match<T>*>(lanes[lane]); };
  for (uint32_t rest = mask; rest; rest &= rest - 1) {
    auto* mine = of(std::countr_zero(rest));
    mine->out = 0;
    for (uint32_t other = mask; other; other &= other - 1)
      if (of(std::countr_zero(other))->in == mine->in) mine->out |= other & (~other + 1);
  }
}

template <class T>
HB_EMULATED uint32_t match(uint32_t mask, T v, simt::Site site) {
  Match<T> m{v, 0};
  simt::warp_collective(mask, match_lanes<T>, &m, "match", site);
  return m.out;
}

struct Add {
  template <class T>
  T operator()(T a, T b) const {
    return a + b;
  }
};
struct Min {
  template <class T>
  T operator()(T a, T b) const {
    return b < a ? b : a;
  }
};
struct Max {
  template <class T>
  T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};
struct And {
  template <class T>
  T operator()(T a, T b) const {
    return a & b;
  }
};
struct Or {
  template <class T>
  T operator()(T a, T b) const {
    return a | b;
  }
};

}  // namespace emulated

/// The value of lane `from` % 32. T has 4 or 8 bytes. Reading a lane outside the mask gives rubbish.
template <class T>
T shuffle(uint32_t mask, T v, int from, HB_SITE) {
  return emulated::exchange(mask, v, from & 31, "shuffle", site);
}
template <class T>
T shuffle_xor(uint32_t mask, T v, int bits, HB_SITE) {
  return emulated::exchange(mask, v, (emulated::own_lane() ^ bits) & 31, "shuffle_xor", site);
}
/// The value of the lane `by` below; the own one where there is none.
template <class T>
T shuffle_up(uint32_t mask, T v, int by, HB_SITE) {
  const int lane = emulated::own_lane();
  return emulated::exchange(mask, v, lane >= by ? lane - by : lane, "shuffle_up", site);
}
template <class T>
T shuffle_down(uint32_t mask, T v, int by, HB_SITE) {
  const int lane = emulated::own_lane();
  return emulated::exchange(mask, v, lane + by < 32 ? lane + by : lane, "shuffle_down", site);
}
/// Bit i: the vote of lane i, zero outside the mask.
inline uint32_t ballot(uint32_t mask, bool v, HB_SITE) { return emulated::vote(mask, v, "ballot", site); }
inline bool any(uint32_t mask, bool v, HB_SITE) { return emulated::vote(mask, v, "any", site) != 0; }
inline bool all(uint32_t mask, bool v, HB_SITE) { return emulated::vote(mask, v, "all", site) == mask; }
/// Lanes whose value has the same bits. T: uint32_t or uint64_t.
template <class T>
uint32_t match_any(uint32_t mask, T v, HB_SITE) {
  return emulated::match(mask, v, site);
}
// Integer reductions over the lanes of a mask.
inline uint32_t reduce_add(uint32_t mask, uint32_t v, HB_SITE) {
  return emulated::reduce<emulated::Add>(mask, v, "reduce_add", site);
}
inline int32_t reduce_min(uint32_t mask, int32_t v, HB_SITE) {
  return emulated::reduce<emulated::Min>(mask, v, "reduce_min", site);
}
inline int32_t reduce_max(uint32_t mask, int32_t v, HB_SITE) {
  return emulated::reduce<emulated::Max>(mask, v, "reduce_max", site);
}
inline uint32_t reduce_min(uint32_t mask, uint32_t v, HB_SITE) {
  return emulated::reduce<emulated::Min>(mask, v, "reduce_min", site);
}
inline uint32_t reduce_max(uint32_t mask, uint32_t v, HB_SITE) {
  return emulated::reduce<emulated::Max>(mask, v, "reduce_max", site);
}
inline uint32_t reduce_and(uint32_t mask, uint32_t v, HB_SITE) {
  return emulated::reduce<emulated::And>(mask, v, "reduce_and", site);
}
inline uint32_t reduce_or(uint32_t mask, uint32_t v, HB_SITE) {
  return emulated::reduce<emulated::Or>(mask, v, "reduce_or", site);
}

// --- Atomics, on global and shared memory; each returns the value before ---
HB_EMULATED int32_t atomic_add(int32_t* at, int32_t v, HB_SITE) {
  simt::atomic_access(at, 4, site);
  return __atomic_fetch_add(at, v, __ATOMIC_RELAXED);
}
HB_EMULATED uint32_t atomic_add(uint32_t* at, uint32_t v, HB_SITE) {
  simt::atomic_access(at, 4, site);
  return __atomic_fetch_add(at, v, __ATOMIC_RELAXED);
}
HB_EMULATED uint32_t atomic_or(uint32_t* at, uint32_t v, HB_SITE) {
  simt::atomic_access(at, 4, site);
  return __atomic_fetch_or(at, v, __ATOMIC_RELAXED);
}
HB_EMULATED uint32_t atomic_and(uint32_t* at, uint32_t v, HB_SITE) {
  simt::atomic_access(at, 4, site);
  return __atomic_fetch_and(at, v, __ATOMIC_RELAXED);
}
HB_EMULATED uint32_t atomic_exchange(uint32_t* at, uint32_t v, HB_SITE) {
  simt::atomic_access(at, 4, site);
  return __atomic_exchange_n(at, v, __ATOMIC_RELAXED);
}
HB_EMULATED uint32_t atomic_cas(uint32_t* at, uint32_t expected, uint32_t v, HB_SITE) {
  simt::atomic_access(at, 4, site);
  __atomic_compare_exchange_n(at, &expected, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
template <class T>
HB_EMULATED T atomic_max(T* at, T v, HB_SITE) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  simt::atomic_access(at, sizeof(T), site);
  T before = __atomic_load_n(at, __ATOMIC_RELAXED);
  while (before < v && !__atomic_compare_exchange_n(at, &before, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return before;
}
template <class T>
HB_EMULATED T atomic_min(T* at, T v, HB_SITE) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  simt::atomic_access(at, sizeof(T), site);
  T before = __atomic_load_n(at, __ATOMIC_RELAXED);
  while (v < before && !__atomic_compare_exchange_n(at, &before, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return before;
}

// --- Order between blocks ---
/// What this thread wrote before is seen by whoever sees what it writes after.
HB_EMULATED void fence_device() { std::atomic_thread_fence(std::memory_order_seq_cst); }
/// The same for the host and what it shares with the device.
HB_EMULATED void fence_system() { std::atomic_thread_fence(std::memory_order_seq_cst); }
HB_EMULATED uint32_t load_acquire(const uint32_t* at, HB_SITE) {
  simt::atomic_access(at, 4, site);
  return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}
HB_EMULATED void store_release(uint32_t* at, uint32_t v, HB_SITE) {
  simt::atomic_access(at, 4, site);
  __atomic_store_n(at, v, __ATOMIC_RELEASE);
}

// --- 16 bytes at once; the address is aligned to 16 ---
HB_EMULATED Vec16 load16(const void* from, HB_SITE) {
  simt::load_access(from, 16, site);
  return *static_cast<const Vec16*>(from);
}
/// Global memory that no one writes during the launch and that is read once: does not displace other data.
HB_EMULATED Vec16 load16_streaming(const void* from, HB_SITE) { return load16(from, site); }
HB_EMULATED void store16(void* to, const Vec16& v, HB_SITE) {
  simt::store_access(to, 16, site);
  *static_cast<Vec16*>(to) = v;
}

// --- Asynchronous copies from global to shared memory ---
/// 16 bytes, both addresses aligned to 16. Of the source only the first `bytes` are read, the rest becomes zeros.
inline void cp_async16(void* to, const void* from, int bytes = 16, HB_SITE) {
  simt::copy_async16(to, from, bytes, site);
}
inline void cp_async_commit() { simt::copy_commit(); }
/// Waits until at most the last kPending groups of this thread are under way. Others see the data after a barrier.
template <int kPending>
void cp_async_wait() {
  simt::copy_wait(kPending);
}
inline void cp_async_wait_all() { simt::copy_wait(-1); }

// --- Tensor cores ---
/// Four 8x8 matrices of 16-bit elements from shared memory; lanes 8m to 8m+7 give the addresses of matrix m's rows.
inline void ldmatrix_x4(uint32_t (&r)[4], const void* row, HB_SITE) { simt::load_matrices(r, 4, false, row, site); }
inline void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row, HB_SITE) {
  simt::load_matrices(r, 4, true, row, site);
}
/// Two matrices; the addresses of lanes 16 to 31 are not used.
inline void ldmatrix_x2(uint32_t (&r)[2], const void* row, HB_SITE) { simt::load_matrices(r, 2, false, row, site); }
inline void ldmatrix_x2_trans(uint32_t (&r)[2], const void* row, HB_SITE) {
  simt::load_matrices(r, 2, true, row, site);
}
/// d[16 x 8] += a[16 x 16] b[16 x 8], bf16 in, f32 out, in the fragments of mma.m16n8k16.
inline void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], HB_SITE) {
  simt::multiply_bf16(d, a, b, site);
}

}  // namespace hb::cuda
