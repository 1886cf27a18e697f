// Everything that an instruction set's file compiles, in its own unnamed namespace after its vec_*.inl.
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
