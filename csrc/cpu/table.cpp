#include "cpu/kernels.h"

namespace hb {

namespace {

struct Table {
  Kernel kernels[kOpCount];
};

/// One line per op that this backend has; `W` lines also need scratch.
constexpr Table make() {
  Table t{};
#define HB_K(name, type) t.kernels[static_cast<int>(Op::name)] = {run_as<type, cpu::name##_cpu>, nullptr, nullptr}
#define HB_W(name, type)                                                                                             \
  t.kernels[static_cast<int>(Op::name)] = {run_as<type, cpu::name##_cpu>, workspace_as<type, cpu::name##_workspace>, \
                                           nullptr}
  HB_K(rms_norm, RmsNorm);
  HB_K(pack_weight, PackWeight);
  HB_W(linear, Linear);
  HB_W(qk_norm_rope_append, QkNormRopeAppend);
  HB_W(paged_attention, PagedAttention);
  HB_K(layer_norm, LayerNorm);
  HB_W(dense_attention, DenseAttention);
  HB_W(conv2d, Conv2d);
  HB_K(conv_weight, ConvWeight);
  HB_W(group_norm, GroupNorm);
  HB_K(upsample_nearest, UpsampleNearest);
  HB_K(patchify, Patchify);
  HB_K(unpatchify, Unpatchify);
  HB_K(normalize_pixels, NormalizePixels);
  HB_K(denormalize_pixels, DenormalizePixels);
  HB_K(vae_latent, VaeLatent);
  HB_K(embedding, Embedding);
  HB_K(embed_add, EmbedAdd);
  HB_K(concat_rows, ConcatRows);
  HB_K(concat_columns, ConcatColumns);
  HB_K(cast, Cast);
  HB_K(copy_pages, CopyPages);
  HB_K(emit, Emit);
  HB_K(increment, Increment);
  HB_W(tree_build, TreeBuild);
  HB_K(tree_verify, TreeVerify);
  HB_K(kv_commit, KvCommit);
  HB_W(penalize, Penalize);
  HB_W(rope_table, RopeTable);
  HB_W(time_embedding, TimeEmbedding);
  HB_W(guided_update, GuidedUpdate);
  HB_K(philox_normal, PhiloxNormal);
  HB_W(sample, Sample);
  HB_K(draft_extend, DraftExtend);
  HB_W(draft_topk, DraftTopk);
  HB_K(draft_expand, DraftExpand);
  HB_W(filtered_softmax, FilteredSoftmax);
  HB_W(classic_verify, ClassicVerify);
#undef HB_K
#undef HB_W
  return t;
}

constexpr Table kTable = make();

}  // namespace

const Kernel* cpu_kernel(Op op) { return &kTable.kernels[static_cast<int>(op)]; }

}  // namespace hb
