#pragma once
#include "core/tensor.h"

namespace hb::cpu {

/// Writes one panel of the packed layout (core/tensor.h) from up to 16 weight rows of k elements; the rest is zero.
void pack_panel(const void* const* rows, int live, int64_t k, DType dtype, void* panel);

}  // namespace hb::cpu
