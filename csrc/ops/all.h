#pragma once
#include "ops/cast.h"
#include "ops/classic_verify.h"
#include "ops/concat_columns.h"
#include "ops/concat_rows.h"
#include "ops/conv2d.h"
#include "ops/conv_weight.h"
#include "ops/copy_pages.h"
#include "ops/dense_attention.h"
#include "ops/draft_expand.h"
#include "ops/draft_extend.h"
#include "ops/draft_topk.h"
#include "ops/embed_add.h"
#include "ops/embedding.h"
#include "ops/emit.h"
#include "ops/filtered_softmax.h"
#include "ops/group_norm.h"
#include "ops/guided_update.h"
#include "ops/increment.h"
#include "ops/kv_commit.h"
#include "ops/layer_norm.h"
#include "ops/linear.h"
#include "ops/pack_weight.h"
#include "ops/paged_attention.h"
#include "ops/patchify.h"
#include "ops/penalize.h"
#include "ops/philox_normal.h"
#include "ops/pixels.h"
#include "ops/qk_norm_rope_append.h"
#include "ops/rms_norm.h"
#include "ops/rope_table.h"
#include "ops/sample.h"
#include "ops/time_embedding.h"
#include "ops/tree_build.h"
#include "ops/tree_verify.h"
#include "ops/unpatchify.h"
#include "ops/upsample_nearest.h"
#include "ops/vae_latent.h"

/// The one list of ops: snake_case name, struct. Its order is the op's number.
#define HB_OPS(X)                          \
  X(rms_norm, RmsNorm)                     \
  X(layer_norm, LayerNorm)                 \
  X(embedding, Embedding)                  \
  X(embed_add, EmbedAdd)                   \
  X(concat_rows, ConcatRows)               \
  X(cast, Cast)                            \
  X(pack_weight, PackWeight)               \
  X(linear, Linear)                        \
  X(rope_table, RopeTable)                 \
  X(qk_norm_rope_append, QkNormRopeAppend) \
  X(paged_attention, PagedAttention)       \
  X(dense_attention, DenseAttention)       \
  X(copy_pages, CopyPages)                 \
  X(sample, Sample)                        \
  X(tree_build, TreeBuild)                 \
  X(tree_verify, TreeVerify)               \
  X(kv_commit, KvCommit)                   \
  X(penalize, Penalize)                    \
  X(filtered_softmax, FilteredSoftmax)     \
  X(classic_verify, ClassicVerify)         \
  X(emit, Emit)                            \
  X(increment, Increment)                  \
  X(time_embedding, TimeEmbedding)         \
  X(guided_update, GuidedUpdate)           \
  X(philox_normal, PhiloxNormal)           \
  X(conv2d, Conv2d)                        \
  X(conv_weight, ConvWeight)               \
  X(group_norm, GroupNorm)                 \
  X(upsample_nearest, UpsampleNearest)     \
  X(patchify, Patchify)                    \
  X(unpatchify, Unpatchify)                \
  X(normalize_pixels, NormalizePixels)     \
  X(denormalize_pixels, DenormalizePixels) \
  X(vae_latent, VaeLatent)                 \
  X(concat_columns, ConcatColumns)         \
  X(draft_extend, DraftExtend)             \
  X(draft_topk, DraftTopk)                 \
  X(draft_expand, DraftExpand)

namespace hb {

enum class Op : int {
#define HB_ENUM(name, type) name,
  HB_OPS(HB_ENUM)
#undef HB_ENUM
      count
};
inline constexpr int kOpCount = static_cast<int>(Op::count);

extern const Contract* const kContracts[kOpCount];

}  // namespace hb
