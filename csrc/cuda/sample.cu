// Picks a token per row. Three launches: the largest logit of every segment; the filters of rows that have some; noise
// and the largest perturbed logit. Rows are split over many blocks, which changes no result: a largest key is the same
// in any order. Bytes: the logits twice, the second time from L2 while rows x V x 4 stay below it; 64 rows of 152064:
// 39 MB, 12 us. Noise: a Philox block (10 rounds, some 80 instructions) per four ids; logarithms only for the
// few words that can win.
#include "cuda/kernels.h"
#include "cuda/launch.h"
#include "cuda/sample_filter.h"

namespace hb::cuda {
namespace {

struct ScanSmem {
  SegmentSmem segment;
  float sum[kLogitThreads / kWarpLanes];
};

template <bool kWide>
HB_KERNEL void HB_BOUNDS(kLogitThreads, 4) sample_scan_kernel(SampleArgs a) {
  const int row = static_cast<int>(block_x()) / a.segments, segment = static_cast<int>(block_x()) % a.segments;
  if (row >= live_count(a.rows, a.n)) return;
  HB_DYN_SMEM(raw);
  ScanSmem& smem = *reinterpret_cast<ScanSmem*>(raw);
  const float* logits = a.logits + int64_t{row} * a.v;
  float x[kLogitGroups][4];
  HB_UNROLL
  for (int g = 0; g < kLogitGroups; ++g) load_group<kWide>(x[g], logits, group_id(segment, g), a.v);
  // +inf and NaN are told from ids beyond the end, which hold -inf
  const Largest largest = largest_of_segment(x, segment, a.v, smem.segment);
  const SampleSettings s = sample_settings(a, row);
  if (s.filtered()) {
    HB_UNROLL
    for (int g = 0; g < kLogitGroups; ++g) {
      float max = -kInfinity;
      HB_UNROLL
      for (int j = 0; j < 4; ++j) max = x[g][j] > max ? x[g][j] : max;
      HB_UNROLL
      for (int step = kChunk / 8; step > 0; step /= 2) {
        const float other = shuffle_xor(kAllLanes, max, step);
        max = other > max ? other : max;
      }
      const int chunk = group_id(segment, g) / kChunk;
      if (lane() % (kChunk / 4) == 0 && chunk < a.chunks) a.chunk_max[int64_t{row} * a.chunks + chunk] = max;
    }
    if (s.p < 1 && s.k == 0) {
      float sum = 0;
      if (largest.key != kNoKey) {
        HB_UNROLL
        for (int g = 0; g < kLogitGroups; ++g) HB_UNROLL
        for (int j = 0; j < 4; ++j) sum = add_rn(sum, noise::noise_exp(scaled(x[g][j], value_of(largest.key), s.t)));
      }
      sum = block_sum(sum, smem.sum);
      if (thread_x() == 0) a.segment_mass[int64_t{row} * a.segments + segment] = sum;
    }
  }
  if (thread_x() != 0) return;
  a.segment_key[int64_t{row} * a.segments + segment] = largest.key;
  a.segment_bad[int64_t{row} * a.segments + segment] = largest.bad;
  if (segment == 0) {
    clamp_index(a.seq[row], a.b, a.flags);
    a.state[row] = {kNoKey, 0, 0, 0, INT32_MAX};
  }
}

struct DrawSmem {
  uint64_t key, best[kLogitThreads / kWarpLanes];
  float bar;
  uint32_t bad;
};

/// The smallest of the words of noise, scaled to [0, 1], with which a logit `top` below the largest may reach `bar`; a
/// little less, for all roundings on the way. top + G > bar is U > e^-e^(top - bar).
HB_DEVICE float lowest_word(float top, float bar) {
  constexpr float kLog2e = 1.4426950408889634f;
  const float rate = 1.001f * fast_exp2((top - bar) * kLog2e);
  return fast_exp2(-rate * kLog2e) - 4e-7f;
}

template <bool kWide>
HB_KERNEL void HB_BOUNDS(kLogitThreads, 4) sample_draw_kernel(SampleArgs a) {
  const int row = static_cast<int>(block_x()) / a.segments, segment = static_cast<int>(block_x()) % a.segments;
  if (row >= live_count(a.rows, a.n)) return;
  SampleState& state = a.state[row];
  if (state.chosen) return;
  HB_DYN_SMEM(raw);
  DrawSmem& smem = *reinterpret_cast<DrawSmem*>(raw);
  const SampleSettings s = sample_settings(a, row);
  if (warp() == 0) {
    const Largest all =
        largest_of(a.segment_key + int64_t{row} * a.segments, a.segment_bad + int64_t{row} * a.segments, a.segments);
    // what the largest logit itself gets
    const float bar = gumbel_of_id(s.seed, s.position, all.key == kNoKey ? 0 : number_of(all.key));
    if (lane() == 0) smem.key = all.key, smem.bad = all.bad, smem.bar = bar;
  }
  sync_block();
  const uint64_t largest = smem.key;
  if (smem.bad || s.t == 0) {
    if (segment == 0 && thread_x() == 0) {
      if (smem.bad) raise<kFlagNotANumber>(a.flags);
      a.token[row] = largest == kNoKey ? 0 : number_of(largest);
    }
    return;
  }
  const float m = value_of(largest), inverse = div_rn(1.0f, s.t);
  const bool rough = s.t > 1e-30f;  // else 1 / t is no help
  const uint32_t pivot = state.pivot;
  const int32_t last = state.last;
  const float* logits = a.logits + int64_t{row} * a.v;
  float x[kLogitGroups][4];  // all on their way before the first is needed
  HB_UNROLL
  for (int g = 0; g < kLogitGroups; ++g) load_group<kWide>(x[g], logits, group_id(segment, g), a.v);
  uint64_t best = kNoKey;
  float bar = smem.bar;
  HB_UNROLL
  for (int g = 0; g < kLogitGroups; ++g) {
    const int first = group_id(segment, g);
    float top = x[g][0];
    HB_UNROLL
    for (int j = 1; j < 4; ++j) top = x[g][j] > top ? x[g][j] : top;
    const float lowest = rough ? lowest_word((top - m) * inverse, bar) : -1.0f;
    int32_t word[4];
    philox_words(s.seed, static_cast<uint32_t>(first) >> 2, s.position, Purpose::token, 0, word);
    HB_UNROLL
    for (int j = 0; j < 4; ++j) {
      if (static_cast<float>(static_cast<uint32_t>(word[j])) * 2.3283064365386963e-10f < lowest) continue;
      const uint32_t o = ordered(x[g][j]);
      const float d = scaled(x[g][j], m, s.t);
      if (first + j >= a.v || o < pivot || (o == pivot && first + j > last) || d < s.floor) continue;
      const float value = add_rn(d, gumbel_draw(word[j]));
      best = max_key(best, key_of(value, first + j));
      bar = value > bar ? value : bar;
    }
    bar = warp_max(bar);
  }
  best = block_max_key(best, smem.best);
  if (thread_x() != 0) return;
  if (best != kNoKey) atomic_max(&state.best, best);
  fence_device();
  if (atomic_add(&state.finished, 1u) != static_cast<uint32_t>(a.segments) - 1) return;
  fence_device();
  a.token[row] = number_of(atomic_max(&state.best, kNoKey));
}

struct Layout {
  int64_t n, segments, chunks;
  size_t state, keys, bad, mass, chunk, bytes;  ///< where parts begin
  explicit Layout(const Sample& a) {
    n = a.logits.dims[0];
    segments = (a.logits.dims[1] + kSegment - 1) / kSegment;
    chunks = (a.logits.dims[1] + kChunk - 1) / kChunk;
    size_t at = 0;
    const auto part = [&](int64_t elements, size_t size) {
      const size_t begin = at;
      at += (static_cast<size_t>(elements) * size + 15) / 16 * 16;
      return begin;
    };
    state = part(n, sizeof(SampleState)), keys = part(n * segments, 8), bad = part(n * segments, 4);
    mass = part(n * segments, 4), chunk = part(n * chunks, 4);
    bytes = at;
  }
};

}  // namespace

size_t sample_workspace(const Sample& a, int) { return Layout(a).bytes; }

Status sample_cuda(const OpContext& cx, const Sample& a) {
  const Layout l(a);
  if (l.n == 0) return Status::success();
  unsigned char* scratch = static_cast<unsigned char*>(cx.scratch);
  const SampleArgs args = {a.logits.as<float>(),
                           a.seq.as<int32_t>(),
                           a.top_k.as<int32_t>(),
                           a.rows ? a.rows.as<int32_t>() : nullptr,
                           a.temperature.as<float>(),
                           a.top_p.as<float>(),
                           a.min_p.as<float>(),
                           a.seed.as<uint32_t>(),
                           a.position.as<uint32_t>(),
                           a.token.as<int32_t>(),
                           reinterpret_cast<SampleState*>(scratch + l.state),
                           reinterpret_cast<uint64_t*>(scratch + l.keys),
                           reinterpret_cast<uint32_t*>(scratch + l.bad),
                           reinterpret_cast<float*>(scratch + l.mass),
                           reinterpret_cast<float*>(scratch + l.chunk),
                           static_cast<int>(l.n),
                           static_cast<int>(a.logits.dims[1]),
                           static_cast<int>(a.temperature.dims[0]),
                           static_cast<int>(l.segments),
                           static_cast<int>(l.chunks),
                           device(cx).flags};
  void* const stream = device(cx).stream;
  const bool wide = a.logits.dims[1] % 4 == 0 && aligned16(a.logits);
  const Extent rows = {static_cast<unsigned>(l.n)}, parts = {static_cast<unsigned>(l.n * l.segments)};
  Status status = launch(stream, wide ? sample_scan_kernel<true> : sample_scan_kernel<false>, parts, {kLogitThreads},
                         sizeof(ScanSmem), args);
  if (status.ok()) status = launch(stream, sample_filter_kernel, rows, {kFilterThreads}, sizeof(FilterSmem), args);
  if (!status.ok()) return status;
  return launch(stream, wide ? sample_draw_kernel<true> : sample_draw_kernel<false>, parts, {kLogitThreads},
                sizeof(DrawSmem), args);
}

}  // namespace hb::cuda
