#pragma once
#include "cpu/verbs.h"
#include "ops/backend.h"

namespace hb {

/// The backend's entry for an op.
const Kernel* cpu_kernel(Op op);

namespace cpu {

inline const Verbs& verbs(const OpContext& cx) { return *static_cast<const Verbs*>(cx.verbs); }

/// The `types` bits of a verb.
inline int types(const TensorView& first, const TensorView& second) {
  return (first.dtype == DType::bf16 ? kFirstBf16 : 0) | (second.dtype == DType::bf16 ? kSecondBf16 : 0);
}

/// Address of element `index` of a plain tensor.
inline void* at(const TensorView& t, int64_t index) {
  return static_cast<char*>(t.data) + index * static_cast<int64_t>(bytes_of(t.dtype));
}

inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
inline int64_t clamp_index(int64_t i, int64_t n) { return i < 0 ? 0 : i >= n ? n - 1 : i; }

/// Every kernel of this folder, typed by its op's struct.
#define HB_DECLARE(name, type) Status name##_cpu(const OpContext& cx, const type& a);
HB_OPS(HB_DECLARE)
#undef HB_DECLARE

// Scratch sizes of those that need some.
size_t linear_workspace(const Linear& a, int workers);
size_t paged_attention_workspace(const PagedAttention& a, int workers);
size_t dense_attention_workspace(const DenseAttention& a, int workers);
size_t conv2d_workspace(const Conv2d& a, int workers);
size_t group_norm_workspace(const GroupNorm& a, int workers);
size_t qk_norm_rope_append_workspace(const QkNormRopeAppend& a, int workers);
size_t penalize_workspace(const Penalize& a, int workers);
size_t tree_build_workspace(const TreeBuild& a, int workers);
size_t sample_workspace(const Sample& a, int workers);
size_t draft_topk_workspace(const DraftTopk& a, int workers);
size_t filtered_softmax_workspace(const FilteredSoftmax& a, int workers);
size_t classic_verify_workspace(const ClassicVerify& a, int workers);
size_t rope_table_workspace(const RopeTable& a, int workers);
size_t time_embedding_workspace(const TimeEmbedding& a, int workers);
size_t guided_update_workspace(const GuidedUpdate& a, int workers);

}  // namespace cpu
}  // namespace hb
