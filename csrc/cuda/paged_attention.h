#pragma once
#include "core/status.h"
#include "cuda/attention_rows.h"
#include "cuda/launch.h"

namespace hb::cuda {

/// bf16 rows of D columns, D a multiple of 8 up to 128, on tensor cores; tensors aligned to 16 bytes.
constexpr int kMostMmaColumns = 128;
Status launch_paged_mma(Stream stream, const PagedArgs<uint16_t>& a);

/// Columns that the kernel is made for, and threads of its blocks.
HB_HD constexpr int mma_columns(int d) { return d <= 32 ? 32 : d <= 64 ? 64 : kMostMmaColumns; }
constexpr int kMmaThreads = 128;
/// Floats in which a block keeps the sums of spans, where it takes all spans of its rows: see FoldedSums.
HB_HD constexpr int folded_floats(int columns) { return (columns / 2 + 4) * kMmaThreads; }

/// Rows that a warp, and a block of four, takes: a row's heads lie in the 16 rows of one warp's tile.
HB_HD constexpr int rows_per_warp(int unit_heads) { return 16 / unit_heads; }
HB_HD constexpr int rows_per_block(int unit_heads) { return 4 * rows_per_warp(unit_heads); }

}  // namespace hb::cuda
