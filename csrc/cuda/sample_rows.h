#pragma once
// What the kernels of sample know of a row.
#include "cuda/indices.h"
#include "cuda/logits.h"

namespace hb::cuda {

/// What the filters leave of a row: logits above a pivot, and of those equal to it the ones with the lowest ids.
struct SampleState {
  uint64_t best;      ///< key of the largest perturbed logit so far
  uint32_t finished;  ///< segments that are through
  uint32_t chosen;    ///< not 0: the token is known
  uint32_t pivot;     ///< as of ordered()
  int32_t last;       ///< highest id that is kept of those equal to the pivot
};

struct SampleArgs {
  const float* logits;
  const int32_t *seq, *top_k, *rows;
  const float *temperature, *top_p, *min_p;
  const uint32_t *seed, *position;
  int32_t* token;
  SampleState* state;     // [n]
  uint64_t* segment_key;  // [n, segments]
  uint32_t* segment_bad;
  float *segment_mass, *chunk_max;  // [n, segments], [n, chunks]
  int n, v, b, segments, chunks;
  uint32_t* flags;
};

constexpr int kChunk = 64;  ///< ids per stored maximum

struct SampleSettings {
  uint32_t seed[2], position;
  float t;      ///< temperature; 0: the largest logit
  int k;        ///< top_k; 0: all
  double p;     ///< top_p; 1: all
  float floor;  ///< smallest (logit - largest) / t that min_p keeps
  HB_DEVICE bool filtered() const { return t > 0 && (k > 0 || p < 1); }
};

HB_DEVICE SampleSettings sample_settings(const SampleArgs& a, int row) {
  const int seq = clamp_index(a.seq[row], a.b);
  SampleSettings s;
  s.seed[0] = a.seed[2 * seq], s.seed[1] = a.seed[2 * seq + 1], s.position = a.position[row];
  const float t = a.temperature[seq], p = a.top_p[seq], low = a.min_p[seq];
  s.t = !(t > 0) ? 0 : t < kLargest ? t : kLargest;
  s.k = a.top_k[seq] > 0 && a.top_k[seq] < a.v ? a.top_k[seq] : 0;
  s.p = p < 1 ? static_cast<double>(p) : 1;
  s.floor = low > 0 ? static_cast<float>(log_f64(low < 1 ? static_cast<double>(low) : 1)) : -kInfinity;
  return s;
}

/// (logit - largest) / temperature, as everywhere.
HB_DEVICE float scaled(float x, float m, float t) { return div_rn(sub_rn(x, m), t); }

}  // namespace hb::cuda
