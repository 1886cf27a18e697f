#pragma once

/// Marks a function of this folder that kernels call too. Such functions use nothing but integers, casts and
/// correctly rounded operations, so that every compiler gives the same bits.
#ifdef __CUDACC__
#define HB_HD __host__ __device__
#else
#define HB_HD
#endif
