#pragma once
// The primitives on a GPU, sm_80 or newer. Included by prim.h alone; emulated.h says what each does.

#define HB_KERNEL __global__
#define HB_DEVICE __device__ __forceinline__
#define HB_BOUNDS(threads, blocks) __launch_bounds__(threads, blocks)
#define HB_UNROLL _Pragma("unroll")
#define HB_ROLLED _Pragma("unroll 1")
#define HB_AND_SITE
#define HB_PASS_SITE
#define HB_DYN_SMEM(name)                                             \
  extern __shared__ __align__(1024) unsigned char hb_shared_memory[]; \
  unsigned char* const name = hb_shared_memory

namespace hb::cuda {

// --- Indices ---
HB_DEVICE unsigned thread_x() { return threadIdx.x; }
HB_DEVICE unsigned thread_y() { return threadIdx.y; }
HB_DEVICE unsigned thread_z() { return threadIdx.z; }
HB_DEVICE unsigned block_x() { return blockIdx.x; }
HB_DEVICE unsigned block_y() { return blockIdx.y; }
HB_DEVICE unsigned block_z() { return blockIdx.z; }
HB_DEVICE unsigned threads_x() { return blockDim.x; }
HB_DEVICE unsigned threads_y() { return blockDim.y; }
HB_DEVICE unsigned threads_z() { return blockDim.z; }
HB_DEVICE unsigned blocks_x() { return gridDim.x; }
HB_DEVICE unsigned blocks_y() { return gridDim.y; }
HB_DEVICE unsigned blocks_z() { return gridDim.z; }
HB_DEVICE unsigned linear_thread() { return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z); }

// --- Bits ---
/// v, of which the compiler knows nothing: what is made of it stays where it is, and takes no registers elsewhere.
HB_DEVICE int opaque(int v) {
  asm volatile("" : "+r"(v));
  return v;
}
HB_DEVICE float as_f32(uint32_t v) { return __uint_as_float(v); }
HB_DEVICE uint32_t as_u32(float v) { return __float_as_uint(v); }
HB_DEVICE int popcount(uint32_t v) { return __popc(v); }
HB_DEVICE int popcount(uint64_t v) { return __popcll(v); }
HB_DEVICE int leading_zeros(uint32_t v) { return __clz(static_cast<int>(v)); }
HB_DEVICE int leading_zeros(uint64_t v) { return __clzll(static_cast<long long>(v)); }
HB_DEVICE int first_set(uint32_t v) { return __ffs(static_cast<int>(v)); }
HB_DEVICE int first_set(uint64_t v) { return __ffsll(static_cast<long long>(v)); }
HB_DEVICE uint32_t multiply_high(uint32_t a, uint32_t b) { return __umulhi(a, b); }

// --- Arithmetic with one rounding each, never contracted ---
HB_DEVICE float add_rn(float a, float b) { return __fadd_rn(a, b); }
HB_DEVICE float sub_rn(float a, float b) { return __fsub_rn(a, b); }
HB_DEVICE float mul_rn(float a, float b) { return __fmul_rn(a, b); }
HB_DEVICE float div_rn(float a, float b) { return __fdiv_rn(a, b); }
HB_DEVICE float fma_rn(float a, float b, float c) { return __fmaf_rn(a, b, c); }
HB_DEVICE double fma_rn(double a, double b, double c) { return __fma_rn(a, b, c); }
HB_DEVICE float sqrt_rn(float v) { return __fsqrt_rn(v); }
HB_DEVICE int32_t round_to_i32(float v) { return __float2int_rn(v); }
HB_DEVICE int32_t truncate_to_i32(float v) { return __float2int_rz(v); }

// --- Functions good to a few ulp; not the same bits everywhere ---
HB_DEVICE float fast_exp2(float v) {
  float r;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(v));
  return r;
}
HB_DEVICE float exp_f32(float v) { return expf(v); }
HB_DEVICE float log_f32(float v) { return logf(v); }
HB_DEVICE float tanh_f32(float v) { return tanhf(v); }
HB_DEVICE double exp_f64(double v) { return exp(v); }
HB_DEVICE double log_f64(double v) { return log(v); }
HB_DEVICE double pow_f64(double v, double power) { return pow(v, power); }
HB_DEVICE double sqrt_f64(double v) { return sqrt(v); }

// --- bf16 ---
HB_DEVICE uint32_t pack_bf16(float low, float high) {
  uint32_t r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}
HB_DEVICE uint16_t f32_to_bf16(float v) { return static_cast<uint16_t>(pack_bf16(v, 0.0f)); }

// --- Barriers ---
HB_DEVICE void sync_block() { __syncthreads(); }
HB_DEVICE void sync_named(int id, unsigned threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
HB_DEVICE void arrive_named(int id, unsigned threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
HB_DEVICE void sync_warp(uint32_t mask) { __syncwarp(mask); }

// --- Warp collectives ---
template <class T>
HB_DEVICE T shuffle(uint32_t mask, T v, int from) {
  return __shfl_sync(mask, v, from);
}
template <class T>
HB_DEVICE T shuffle_xor(uint32_t mask, T v, int bits) {
  return __shfl_xor_sync(mask, v, bits);
}
template <class T>
HB_DEVICE T shuffle_up(uint32_t mask, T v, int by) {
  return __shfl_up_sync(mask, v, static_cast<unsigned>(by));
}
template <class T>
HB_DEVICE T shuffle_down(uint32_t mask, T v, int by) {
  return __shfl_down_sync(mask, v, static_cast<unsigned>(by));
}
// 64-bit integers: the intrinsics know the other name of the type.
template <>
HB_DEVICE uint64_t shuffle(uint32_t mask, uint64_t v, int from) {
  return __shfl_sync(mask, static_cast<unsigned long long>(v), from);
}
template <>
HB_DEVICE uint64_t shuffle_xor(uint32_t mask, uint64_t v, int bits) {
  return __shfl_xor_sync(mask, static_cast<unsigned long long>(v), bits);
}
HB_DEVICE uint32_t ballot(uint32_t mask, bool v) { return __ballot_sync(mask, v); }
HB_DEVICE bool any(uint32_t mask, bool v) { return __any_sync(mask, v) != 0; }
HB_DEVICE bool all(uint32_t mask, bool v) { return __all_sync(mask, v) != 0; }
HB_DEVICE uint32_t match_any(uint32_t mask, uint32_t v) { return __match_any_sync(mask, v); }
HB_DEVICE uint32_t match_any(uint32_t mask, uint64_t v) {
  return __match_any_sync(mask, static_cast<unsigned long long>(v));
}
HB_DEVICE uint32_t reduce_add(uint32_t mask, uint32_t v) { return __reduce_add_sync(mask, v); }
HB_DEVICE int32_t reduce_min(uint32_t mask, int32_t v) { return __reduce_min_sync(mask, v); }
HB_DEVICE int32_t reduce_max(uint32_t mask, int32_t v) { return __reduce_max_sync(mask, v); }
HB_DEVICE uint32_t reduce_min(uint32_t mask, uint32_t v) { return __reduce_min_sync(mask, v); }
HB_DEVICE uint32_t reduce_max(uint32_t mask, uint32_t v) { return __reduce_max_sync(mask, v); }
HB_DEVICE uint32_t reduce_and(uint32_t mask, uint32_t v) { return __reduce_and_sync(mask, v); }
HB_DEVICE uint32_t reduce_or(uint32_t mask, uint32_t v) { return __reduce_or_sync(mask, v); }

// --- Atomics ---
HB_DEVICE int32_t atomic_add(int32_t* at, int32_t v) { return atomicAdd(at, v); }
HB_DEVICE uint32_t atomic_add(uint32_t* at, uint32_t v) { return atomicAdd(at, v); }
HB_DEVICE uint32_t atomic_or(uint32_t* at, uint32_t v) { return atomicOr(at, v); }
HB_DEVICE uint32_t atomic_and(uint32_t* at, uint32_t v) { return atomicAnd(at, v); }
HB_DEVICE uint32_t atomic_exchange(uint32_t* at, uint32_t v) { return atomicExch(at, v); }
HB_DEVICE uint32_t atomic_cas(uint32_t* at, uint32_t expected, uint32_t v) { return atomicCAS(at, expected, v); }
HB_DEVICE int32_t atomic_max(int32_t* at, int32_t v) { return atomicMax(at, v); }
HB_DEVICE uint32_t atomic_max(uint32_t* at, uint32_t v) { return atomicMax(at, v); }
HB_DEVICE uint64_t atomic_max(uint64_t* at, uint64_t v) {
  return atomicMax(reinterpret_cast<unsigned long long*>(at), static_cast<unsigned long long>(v));
}
HB_DEVICE int32_t atomic_min(int32_t* at, int32_t v) { return atomicMin(at, v); }
HB_DEVICE uint32_t atomic_min(uint32_t* at, uint32_t v) { return atomicMin(at, v); }
HB_DEVICE uint64_t atomic_min(uint64_t* at, uint64_t v) {
  return atomicMin(reinterpret_cast<unsigned long long*>(at), static_cast<unsigned long long>(v));
}

// --- Order between blocks ---
HB_DEVICE void fence_device() { __threadfence(); }
HB_DEVICE void fence_system() { __threadfence_system(); }
HB_DEVICE uint32_t load_acquire(const uint32_t* at) {
  uint32_t v;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(at) : "memory");
  return v;
}
HB_DEVICE void store_release(uint32_t* at, uint32_t v) {
  asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(at), "r"(v) : "memory");
}

// --- 16 bytes at once ---
HB_DEVICE Vec16 load16(const void* from) {
  const uint4 v = *static_cast<const uint4*>(from);
  return {{v.x, v.y, v.z, v.w}};
}
HB_DEVICE Vec16 load16_streaming(const void* from) {
  Vec16 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.word[0]), "=r"(v.word[1]), "=r"(v.word[2]), "=r"(v.word[3])
               : "l"(from));
  return v;
}
HB_DEVICE void store16(void* to, const Vec16& v) {
  *static_cast<uint4*>(to) = make_uint4(v.word[0], v.word[1], v.word[2], v.word[3]);
}

// --- Asynchronous copies ---
HB_DEVICE uint32_t shared_address(const void* p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }
HB_DEVICE void cp_async16(void* to, const void* from, int bytes = 16) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes)
               : "memory");
}
HB_DEVICE void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kPending>
HB_DEVICE void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}
HB_DEVICE void cp_async_wait_all() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// --- Tensor cores ---
HB_DEVICE void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
HB_DEVICE void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
HB_DEVICE void ldmatrix_x2(uint32_t (&r)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(shared_address(row))
               : "memory");
}
HB_DEVICE void ldmatrix_x2_trans(uint32_t (&r)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(shared_address(row))
               : "memory");
}
HB_DEVICE void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

}  // namespace hb::cuda
