// Sealed: see cpu/verbs.h for what may be included here.
#include <string.h>

#include "cpu/verbs.h"

namespace hb::cpu {
namespace {
#define HB_TILE_ROWS 2
#include "cpu/isa/generic/vec_scalar.inl"
#include "cpu/isa/generic/dot_model.inl"
#include "cpu/isa/generic/all.inl"
}  // namespace

extern const Verbs verbs_avx512bf16_model;
#define HB_ENTRY(name, result, arguments) name,
const Verbs verbs_avx512bf16_model = {"avx512bf16-model", 1, 1, nullptr, HB_VERBS(HB_ENTRY)};
#undef HB_ENTRY
}  // namespace hb::cpu
