#include "cuda/kernels.h"

namespace hb {

namespace {

template <class X, const char* (*F)(const X&)>
const char* supports_as(const void* args) {
  return F(*static_cast<const X*>(args));
}

struct Table {
  Kernel kernels[kOpCount];
};

/// One line per op that this backend has; `W` lines also need scratch, `S` lines cannot take all that the contract
/// allows.
constexpr Table make() {
  Table t{};
#define HB_K(name, type) t.kernels[static_cast<int>(Op::name)] = {run_as<type, cuda::name##_cuda>, nullptr, nullptr}
#define HB_W(name, type)                                                    \
  t.kernels[static_cast<int>(Op::name)] = {run_as<type, cuda::name##_cuda>, \
                                           workspace_as<type, cuda::name##_workspace>, nullptr}
#define HB_S(name, type)                                                             \
  t.kernels[static_cast<int>(Op::name)] = {run_as<type, cuda::name##_cuda>, nullptr, \
                                           supports_as<type, cuda::name##_limit>}
#define HB_WS(name, type)                                                              \
  t.kernels[static_cast<int>(Op::name)] = {run_as<type, cuda::name##_cuda>,            \
                                           workspace_as<type, cuda::name##_workspace>, \
                                           supports_as<type, cuda::name##_limit>}
  HB_K(rms_norm, RmsNorm);
  HB_S(linear, Linear);
  HB_W(draft_expand, DraftExpand);
  HB_K(draft_extend, DraftExtend);
  HB_W(draft_topk, DraftTopk);
  HB_W(guided_update, GuidedUpdate);
  HB_K(penalize, Penalize);
  HB_K(philox_normal, PhiloxNormal);
  HB_K(rope_table, RopeTable);
  HB_WS(paged_attention, PagedAttention);
  HB_S(qk_norm_rope_append, QkNormRopeAppend);
  HB_K(kv_commit, KvCommit);
  HB_K(layer_norm, LayerNorm);
  HB_W(group_norm, GroupNorm);
  HB_S(dense_attention, DenseAttention);
  HB_W(sample, Sample);
  HB_K(time_embedding, TimeEmbedding);
  HB_W(tree_build, TreeBuild);
  HB_K(tree_verify, TreeVerify);
  HB_S(conv2d, Conv2d);
  HB_K(pack_weight, PackWeight);
  HB_K(conv_weight, ConvWeight);
  HB_K(embedding, Embedding);
  HB_K(embed_add, EmbedAdd);
  HB_K(concat_rows, ConcatRows);
  HB_K(concat_columns, ConcatColumns);
  HB_K(cast, Cast);
  HB_K(copy_pages, CopyPages);
  HB_K(increment, Increment);
  HB_K(emit, Emit);
  HB_K(patchify, Patchify);
  HB_K(unpatchify, Unpatchify);
  HB_K(upsample_nearest, UpsampleNearest);
  HB_K(normalize_pixels, NormalizePixels);
  HB_K(denormalize_pixels, DenormalizePixels);
  HB_K(vae_latent, VaeLatent);
#undef HB_K
#undef HB_W
#undef HB_S
#undef HB_WS
  return t;
}

constexpr Table kTable = make();

}  // namespace

const Kernel* cuda_kernel(Op op) { return &kTable.kernels[static_cast<int>(op)]; }

}  // namespace hb
