// Everything that an instruction set's file compiles, in its own unnamed namespace after its vec_*.inl.
/// Rows of a linear tile: with 4 panels their sums fill 32 registers of 16 lanes.
#ifndef HB_TILE_ROWS
#define HB_TILE_ROWS 6
#endif
/// Before a loop over rows or vectors of a tile: sums in an array stay in registers only where the loops that index it are unrolled
/// early. Else the compiler writes all of them to memory before and after the loop over K, which takes longer than some of these.
#if HB_TILE_ROWS < 6
#define HB_UNROLL
#elif defined(__clang__)
#define HB_UNROLL _Pragma("unroll")
#else
#define HB_UNROLL _Pragma("GCC unroll 8")
#endif
#include "cpu/isa/generic/math.inl"
// one file per family of verbs
#include "cpu/isa/generic/attention.inl"
#include "cpu/isa/generic/linear.inl"
#include "cpu/isa/generic/noise.inl"
#include "cpu/isa/generic/norm.inl"
#include "cpu/isa/generic/roofline.inl"
#include "cpu/isa/generic/rows.inl"
#include "cpu/isa/generic/sample.inl"
#include "cpu/isa/generic/vision.inl"
