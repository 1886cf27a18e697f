// Sealed: see cpu/verbs.h for what may be included here.
#include <string.h>

#include "cpu/verbs.h"

namespace hb::cpu {
namespace {
#define HB_TILE_ROWS 2  // accumulators beyond 2 rows x 4 panels do not stay in registers
#include "cpu/isa/generic/vec_scalar.inl"
#include "cpu/isa/generic/all.inl"
}  // namespace

extern const Verbs verbs_scalar;
#define HB_ENTRY(name, result, arguments) name,
const Verbs verbs_scalar = {"scalar", 0, 1, nullptr, HB_VERBS(HB_ENTRY)};
#undef HB_ENTRY
}  // namespace hb::cpu
