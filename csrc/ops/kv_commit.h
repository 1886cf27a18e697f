#pragma once
#include "ops/declare.h"
#include "ops/qk_norm_rope_append.h"

namespace hb {

struct KvCommit {
  TensorView k_cache;     // [X G D S]
  TensorView v_cache;     // [X G S D]
  TensorView page_table;  // [B P]
  TensorView path;        // [B W]
  TensorView accepted;    // [B]
  TensorView slots;       // [B]
  int64_t layers;
};

inline constexpr Operand kv_commit_operands[] = {
    HB_STATE(KvCommit, k_cache, kFloat, 'T', "X G D S", "keys of all layers, one layer's pages after another's"),
    HB_STATE(KvCommit, v_cache, kFloat, 'T', "X G S D", "values"),
    HB_IN(KvCommit, page_table, kI32, '-', "B P", "page within a layer per sequence and page index"),
    HB_IN(KvCommit, path, kI32, '-', "B W", "accepted nodes of each tree, ascending, the root (0) first"),
    HB_IN(KvCommit, accepted, kI32, '-', "B", "how many; clamped to [0, W]"),
    HB_IN(KvCommit, slots, kI32, '-', "B", "committed length once they are accepted: the root's slot + accepted"),
};
inline constexpr Attribute kv_commit_attributes[] = {
    HB_INT(KvCommit, layers, 1, 65536, kNone, "X is a multiple of it"),
};

inline Status kv_commit_rules(void* args) {
  auto& a = *static_cast<KvCommit*>(args);
  if (Status s = check_pages(a.k_cache, 3); !s.ok()) return s;
  if (a.k_cache.dims[0] % a.layers)
    return Status::mismatch(Code::BAD_SHAPE, "k_cache", "a multiple of " + num(a.layers) + " pages",
                            num(a.k_cache.dims[0]));
  return Status::success();
}

/// Counts the rows that move, so it reads `path` and `accepted`: meaningful once they are written.
inline Cost kv_commit_cost(const void* args) {
  auto& a = *static_cast<const KvCommit*>(args);
  double moved = 0;
  const int64_t width = a.path.dims[1];
  for (int64_t b = 0; b < a.accepted.dims[0]; ++b)
    for (int64_t j = 1; j < width && j < a.accepted.as<const int32_t>()[b]; ++j)
      moved += a.path.as<const int32_t>()[b * width + j] != j;
  return {0, 4 * moved * static_cast<double>(a.layers * a.k_cache.dims[1] * a.k_cache.dims[2]) *
                 static_cast<double>(bytes_of(a.k_cache.dtype))};
}

inline constexpr Contract kv_commit_contract = costing_data(contract<KvCommit>(
    "kv_commit", "Moves the keys and values of accepted tree nodes to where plain decoding would have put them.",
    "base = slots - accepted; j = 1 .. accepted - 1 in order: cache[base + j] = cache[base + path[j]] in every layer. "
    "path[j] >= j, so no later source is overwritten; an entry that is not, or lies outside the pages, is skipped and "
    "flagged",
    kv_commit_operands, kv_commit_attributes, kv_commit_rules, kv_commit_cost));

}  // namespace hb
