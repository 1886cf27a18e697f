#pragma once
#include "ops/declare.h"
#include "ops/qk_norm_rope_append.h"

namespace hb {

struct CopyPages {
  TensorView k_cache;  // [X G D S]
  TensorView v_cache;  // [X G S D]
  TensorView pairs;    // [N 2]
};

inline constexpr Operand copy_pages_operands[] = {
    HB_STATE(CopyPages, k_cache, kFloat, 'T', "X G D S", "keys"),
    HB_STATE(CopyPages, v_cache, kFloat, 'T', "X G S D", "values"),
    HB_IN(
        CopyPages, pairs, kI32, '-', "N 2",
        "source and destination page; a pair with a negative page is unused, one out of range is skipped and flagged"),
};

inline Status copy_pages_rules(void* args) { return check_pages(static_cast<CopyPages*>(args)->k_cache, 3); }

inline Cost copy_pages_cost(const void* args) {
  auto& a = *static_cast<const CopyPages*>(args);
  const double pages = static_cast<double>(a.k_cache.dims[0]);
  return {0, pages > 0 ? 4 * bytes_of(a.k_cache) / pages * static_cast<double>(a.pairs.dims[0]) : 0};
}

inline constexpr Contract copy_pages_contract = contract<CopyPages>(
    "copy_pages", "Copies cache pages: what a fork does to a partly filled last page.",
    "cache[pairs[n][1]] = cache[pairs[n][0]], n in order", copy_pages_operands, copy_pages_rules, copy_pages_cost);

}  // namespace hb
