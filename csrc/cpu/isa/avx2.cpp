// Sealed: see cpu/verbs.h for what may be included here.
#include <immintrin.h>
#include <string.h>

#include "cpu/verbs.h"

namespace hb::cpu {
namespace {
#define HB_TILE_ROWS 1  // 16 registers: 1 row x 4 panels of accumulators
#include "cpu/isa/generic/vec_avx2.inl"
#include "cpu/isa/generic/all.inl"
}  // namespace

extern const Verbs verbs_avx2;
#define HB_ENTRY(name, result, arguments) name,
const Verbs verbs_avx2 = {"avx2", 0, 1, nullptr, HB_VERBS(HB_ENTRY)};
#undef HB_ENTRY
}  // namespace hb::cpu
