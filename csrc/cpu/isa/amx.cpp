// Sealed: see cpu/verbs.h for what may be included here.
#include <immintrin.h>
#include <string.h>

#include "cpu/verbs.h"

namespace hb::cpu {
namespace {
#include "cpu/isa/generic/vec_avx512.inl"
// The intrinsics want literal tile numbers.
#define TILE_ZERO(t) _tile_zero(t)
#define TILE_LOAD(t, p, stride_bytes) _tile_loadd(t, p, stride_bytes)
#define TILE_STORE(t, p, stride_bytes) _tile_stored(t, p, stride_bytes)
#define TILE_DOT(c, a, b) _tile_dpbf16ps(c, a, b)
/// All 8 tiles: 16 rows of 64 bytes. Every thread that uses tiles does this once.
static void configure_tiles() {
  struct alignas(64) {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } config;
  _tile_loadconfig(&config);
}
#include "cpu/isa/generic/all.inl"
#include "cpu/isa/generic/linear_amx.inl"
}  // namespace

extern const Verbs verbs_amx;
#define HB_ENTRY(name, result, arguments) name,
const Verbs verbs_amx = {"amx", 1, 16, configure_tiles, HB_VERBS(HB_ENTRY)};
#undef HB_ENTRY
}  // namespace hb::cpu
