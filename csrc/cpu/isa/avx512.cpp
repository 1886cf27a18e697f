// Sealed: see cpu/verbs.h for what may be included here.
#include <immintrin.h>
#include <string.h>

#include "cpu/verbs.h"

namespace hb::cpu {
namespace {
#include "cpu/isa/generic/vec_avx512.inl"
#include "cpu/isa/generic/all.inl"
}  // namespace

extern const Verbs verbs_avx512;
#define HB_ENTRY(name, result, arguments) name,
const Verbs verbs_avx512 = {"avx512", 0, 1, nullptr, HB_VERBS(HB_ENTRY)};
#undef HB_ENTRY
}  // namespace hb::cpu
