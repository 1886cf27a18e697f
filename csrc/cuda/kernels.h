#pragma once
#include <cstdint>

#include "core/device_ring.h"
#include "ops/backend.h"

namespace hb {

/// The backend's entry for an op.
const Kernel* cuda_kernel(Op op);

namespace cuda {

/// What kernels find in OpContext::verbs.
struct Device {
  void* stream = nullptr;  ///< a cudaStream_t; on the emulator a simt::Options, null for the usual ones
  int multiprocessors = 1;
  int arch = 80;              ///< compute capability, 90 for 9.0
  uint32_t* flags = nullptr;  ///< for raise() of cuda/flags.h
  RingState* ring = nullptr;  ///< for `emit`
};

inline const Device& device(const OpContext& cx) { return *static_cast<const Device*>(cx.verbs); }

/// Every kernel of this folder, typed by its op's struct.
#define HB_DECLARE(name, type) Status name##_cuda(const OpContext& cx, const type& a);
HB_OPS(HB_DECLARE)
#undef HB_DECLARE

// Why an op cannot take these arguments, or null.
const char* linear_limit(const Linear& a);
const char* conv2d_limit(const Conv2d& a);
const char* dense_attention_limit(const DenseAttention& a);
const char* paged_attention_limit(const PagedAttention& a);
const char* qk_norm_rope_append_limit(const QkNormRopeAppend& a);

// Scratch sizes of those that need some.
size_t draft_expand_workspace(const DraftExpand& a, int workers);
size_t draft_topk_workspace(const DraftTopk& a, int workers);
size_t guided_update_workspace(const GuidedUpdate& a, int workers);
size_t group_norm_workspace(const GroupNorm& a, int workers);
size_t paged_attention_workspace(const PagedAttention& a, int workers);
size_t sample_workspace(const Sample& a, int workers);
size_t tree_build_workspace(const TreeBuild& a, int workers);

/// True when all tensors that are there begin on a 16-byte boundary, as wide loads need.
template <class... V>
bool aligned16(const V&... tensors) {
  return ((reinterpret_cast<uintptr_t>(tensors.data) % 16 == 0) && ...);
}

inline bool is_bf16(const TensorView& t) { return t.dtype == DType::bf16; }

/// Calls `f` with two null pointers whose types are those of the tensors' elements: float or uint16_t (bf16). Such
/// pointers are how a launcher picks an instance of its kernel.
template <class F>
Status with_types(const TensorView& first, const TensorView& second, F&& f) {
  float* const f32 = nullptr;
  uint16_t* const bf16 = nullptr;
  if (is_bf16(first)) return is_bf16(second) ? f(bf16, bf16) : f(bf16, f32);
  return is_bf16(second) ? f(f32, bf16) : f(f32, f32);
}
template <class F>
Status with_type(const TensorView& first, F&& f) {
  float* const f32 = nullptr;
  uint16_t* const bf16 = nullptr;
  return is_bf16(first) ? f(bf16) : f(f32);
}

}  // namespace cuda
}  // namespace hb
