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
/// Pairs of two rows of 64 bf16: the elements of `even` in the low halves, those of `odd` in the high ones.
static inline void zip_64(const uint16_t* even, const uint16_t* odd, VI (&pairs)[4]) {
  const VI i = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6, 37, 5, 36,
                                4, 35, 3, 34, 2, 33, 1, 32, 0);
  const VI j = _mm512_add_epi16(i, _mm512_set1_epi16(16));
  for (int c = 0; c < 2; ++c) {
    const VI e = iload(even + c * 32), o = iload(odd + c * 32);
    pairs[2 * c] = _mm512_permutex2var_epi16(e, i, o), pairs[2 * c + 1] = _mm512_permutex2var_epi16(e, j, o);
  }
}
#include "cpu/isa/generic/all.inl"
}  // namespace

extern const Verbs verbs_avx512bf16;
#define HB_ENTRY(name, result, arguments) name,
const Verbs verbs_avx512bf16 = {"avx512bf16", 1, 1, nullptr, HB_VERBS(HB_ENTRY)};
#undef HB_ENTRY
}  // namespace hb::cpu
