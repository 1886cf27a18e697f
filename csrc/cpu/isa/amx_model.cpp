// Sealed: see cpu/verbs.h for what may be included here.
#include <string.h>

#include "cpu/verbs.h"

namespace hb::cpu {
namespace {
#define HB_TILE_ROWS 2
#include "cpu/isa/generic/vec_scalar.inl"
#include "cpu/isa/generic/tile_model.inl"
#include "cpu/isa/generic/linear_amx.inl"
#include "cpu/isa/generic/all.inl"
}  // namespace

extern const Verbs verbs_amx_model;
#define HB_ENTRY(name, result, arguments) name,
const Verbs verbs_amx_model = {"amx-model", 1, 16, nullptr, HB_VERBS(HB_ENTRY)};
#undef HB_ENTRY
}  // namespace hb::cpu
