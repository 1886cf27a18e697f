// Sealed: see cpu/verbs.h for what may be included here.
#include <immintrin.h>
#include <string.h>

#include "cpu/verbs.h"

namespace hb::cpu {
namespace {
#include "cpu/isa/generic/vec_avx512.inl"
#define HB_DOT_PAIRS
#define HB_BLOCKED_DOT
static inline V dot_pairs(V acc, VI a, VI b) { return _mm512_dpbf16_ps(acc, (__m512bh)a, (__m512bh)b); }
#include "cpu/isa/generic/all.inl"
}  // namespace

extern const Verbs verbs_avx512bf16;
#define HB_ENTRY(name, result, arguments) name,
const Verbs verbs_avx512bf16 = {"avx512bf16", 1, 1, nullptr, HB_VERBS(HB_ENTRY)};
#undef HB_ENTRY
}  // namespace hb::cpu
