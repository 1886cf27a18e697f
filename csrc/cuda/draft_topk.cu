// The best children of drafted nodes. Three launches: the largest logit of every segment; scores of a segment, their
// mass and the k best; the k best of the row. Ten rows of 32000: 2.6 MB from L2, 320000 Philox blocks, some 10 us, most
// of it the k rounds that take one child each.
#include "cuda/indices.h"
#include "cuda/kernels.h"
#include "cuda/launch.h"
#include "cuda/logits.h"

namespace hb::cuda {
namespace {

constexpr int kWarps = kLogitThreads / kWarpLanes;

struct Args {
  const float* logits;
  const int32_t *seq, *ids, *rows;
  const float* temperature;
  const uint32_t *seed, *output;
  int32_t* token;
  float* value;
  uint64_t *segment_key, *best;  // [n, segments], [n, segments, k]
  uint32_t* segment_bad;
  float* segment_mass;
  int n, v, b, segments, k, depth;
  float beta;
  uint32_t* flags;
};

template <bool kWide>
HB_KERNEL void HB_BOUNDS(kLogitThreads, 4) draft_scan_kernel(Args a) {
  const int row = static_cast<int>(block_x()) / a.segments, segment = static_cast<int>(block_x()) % a.segments;
  if (row >= live_count(a.rows, a.n)) return;
  HB_DYN_SMEM(raw);
  float x[kLogitGroups][4];
  HB_UNROLL
  for (int g = 0; g < kLogitGroups; ++g)
    load_group<kWide>(x[g], a.logits + int64_t{row} * a.v, group_id(segment, g), a.v);
  const Largest largest = largest_of_segment(x, segment, a.v, *reinterpret_cast<SegmentSmem*>(raw));
  if (thread_x() != 0) return;
  a.segment_key[block_x()] = largest.key;
  a.segment_bad[block_x()] = largest.bad;
  if (segment == 0) clamp_index(a.seq[row], a.b, a.flags);
}

struct RankSmem {
  uint64_t partial[2][kWarps];  // by turns
  float sum[kWarps], m;
  uint32_t bad;
};

/// Temperature of a row's noise; 0: none.
HB_DEVICE float noise_temperature(const Args& a, int row) {
  const float t = a.temperature[clamp_index(a.seq[row], a.b)];
  return !(t > 0) ? 0 : t < kLargest ? t : kLargest;
}

template <bool kWide>
HB_KERNEL void HB_BOUNDS(kLogitThreads, 3) draft_rank_kernel(Args a) {
  const int row = static_cast<int>(block_x()) / a.segments, segment = static_cast<int>(block_x()) % a.segments;
  if (row >= live_count(a.rows, a.n)) return;
  HB_DYN_SMEM(raw);
  RankSmem& smem = *reinterpret_cast<RankSmem*>(raw);
  if (warp() == 0) {
    const Largest all =
        largest_of(a.segment_key + int64_t{row} * a.segments, a.segment_bad + int64_t{row} * a.segments, a.segments);
    if (lane() == 0) smem.m = all.bad ? 0 : value_of(all.key), smem.bad = all.bad;
  }
  sync_block();
  if (smem.bad) return;
  const float m = smem.m, t = noise_temperature(a, row);
  const int seq = clamp_index(a.seq[row], a.b);
  const uint32_t seed[2] = {a.seed[2 * seq], a.seed[2 * seq + 1]};
  const uint32_t position = a.output[seq] + static_cast<uint32_t>(a.depth);
  float score[kLogitGroups][4];
  float best = -kInfinity;
  HB_UNROLL
  for (int g = 0; g < kLogitGroups; ++g) {
    const int first = group_id(segment, g);
    load_group<kWide>(score[g], a.logits + int64_t{row} * a.v, first, a.v);
    int32_t word[4];
    if (t > 0 && !a.ids) philox_words(seed, static_cast<uint32_t>(first) >> 2, position, Purpose::token, 0, word);
    HB_UNROLL
    for (int j = 0; j < 4; ++j) {
      float d = sub_rn(score[g][j], m);
      const bool there = first + j < a.v;
      const int32_t id = !there ? -1 : a.ids ? a.ids[first + j] : first + j;
      if (t > 0 && id >= 0) d = add_rn(div_rn(d, t), a.ids ? gumbel_of_id(seed, position, id) : gumbel_draw(word[j]));
      score[g][j] = id < 0 ? -kInfinity : d;
      best = score[g][j] > best ? score[g][j] : best;
    }
  }

  uint64_t* list = a.best + int64_t{block_x()} * a.k;
  uint64_t taken = ~uint64_t{0};
  float sum = 0;
  for (int i = 0; i < a.k; ++i) {
    uint64_t next = kNoKey;
    HB_UNROLL
    for (int g = 0; g < kLogitGroups; ++g) HB_UNROLL
    for (int j = 0; j < 4; ++j) {
      const uint64_t key = score[g][j] > -kInfinity ? key_of(score[g][j], group_id(segment, g) + j) : kNoKey;
      next = key < taken ? max_key(next, key) : next;
    }
    taken = block_max_key(next, smem.partial[i % 2]);
    if (thread_x() == 0) list[i] = taken;
    if (taken == kNoKey) {  // no more; the same for all threads
      for (int rest = i + 1 + static_cast<int>(thread_x()); rest < a.k; rest += kLogitThreads) list[rest] = kNoKey;
      break;
    }
    if (i == 0) {
      const float beta = t > 0 ? a.beta : 1.0f;
      HB_UNROLL
      for (int g = 0; g < kLogitGroups; ++g) HB_UNROLL
      for (int j = 0; j < 4; ++j)
        sum = add_rn(sum, noise::noise_exp(div_rn(sub_rn(score[g][j], value_of(taken)), beta)));
    }
  }
  sum = block_sum(sum, smem.sum);
  if (thread_x() == 0) a.segment_mass[block_x()] = sum;
}

HB_KERNEL void HB_BOUNDS(kLogitThreads, 4) draft_merge_kernel(Args a) {
  const int row = static_cast<int>(block_x());
  if (row >= live_count(a.rows, a.n)) return;
  HB_DYN_SMEM(raw);
  RankSmem& smem = *reinterpret_cast<RankSmem*>(raw);
  if (warp() == 0) {
    const Largest all =
        largest_of(a.segment_key + int64_t{row} * a.segments, a.segment_bad + int64_t{row} * a.segments, a.segments);
    if (lane() == 0) smem.bad = all.bad;
  }
  sync_block();
  const bool bad = smem.bad;
  const int64_t at = int64_t{row} * a.k, count = int64_t{a.segments} * a.k;
  const uint64_t* list = a.best + at * a.segments;
  const double beta = noise_temperature(a, row) > 0 ? a.beta : 1.0f;
  uint64_t taken = ~uint64_t{0};
  double top = 0, log_mass = 0;
  for (int i = 0; i < a.k; ++i) {
    uint64_t next = kNoKey;
    if (!bad && taken != kNoKey)
      for (int64_t j = thread_x(); j < count; j += kLogitThreads)
        next = list[j] < taken ? max_key(next, list[j]) : next;
    taken = block_max_key(next, smem.partial[i % 2]);
    if (warp() != 0) continue;
    if (i == 0 && taken != kNoKey) {
      top = static_cast<double>(value_of(taken));
      double mass = 0;
      for (int s = static_cast<int>(lane()); s < a.segments; s += 32) {
        const uint64_t first = list[int64_t{s} * a.k];
        if (first != kNoKey)
          mass = mass + static_cast<double>(a.segment_mass[int64_t{row} * a.segments + s]) *
                            exp_f64((static_cast<double>(value_of(first)) - top) / beta);
      }
      HB_UNROLL
      for (int step = 16; step > 0; step /= 2) mass = mass + shuffle_xor(kAllLanes, mass, step);
      log_mass = log_f64(mass);
    }
    if (lane() != 0) continue;
    int32_t token = -1;
    float value = -kInfinity;
    if (taken != kNoKey) {
      token = a.ids ? a.ids[number_of(taken)] : number_of(taken);
      value = static_cast<float>((static_cast<double>(value_of(taken)) - top) / beta - log_mass);
      value = value < 0 ? value : 0;
      value = value > -kLargest ? value : -kLargest;
    }
    a.token[at + i] = token, a.value[at + i] = value;
  }
  if (bad && thread_x() == 0) raise<kFlagNotANumber>(a.flags);
}

struct Layout {
  int64_t n, segments;
  size_t keys, best, bad, mass, bytes;  ///< where parts begin
  explicit Layout(const DraftTopk& a) {
    n = a.logits.dims[0], segments = (a.logits.dims[1] + kSegment - 1) / kSegment;
    const size_t parts = static_cast<size_t>(n * segments);
    keys = 0, best = keys + 8 * parts, bad = best + 8 * parts * static_cast<size_t>(a.k), mass = bad + 4 * parts;
    bytes = mass + 4 * parts;
  }
};

}  // namespace

size_t draft_topk_workspace(const DraftTopk& a, int) { return Layout(a).bytes; }

Status draft_topk_cuda(const OpContext& cx, const DraftTopk& a) {
  const Layout l(a);
  if (l.n == 0) return Status::success();
  unsigned char* scratch = static_cast<unsigned char*>(cx.scratch);
  const Args args = {a.logits.as<float>(),
                     a.seq.as<int32_t>(),
                     a.ids ? a.ids.as<int32_t>() : nullptr,
                     a.rows ? a.rows.as<int32_t>() : nullptr,
                     a.temperature.as<float>(),
                     a.seed.as<uint32_t>(),
                     a.output.as<uint32_t>(),
                     a.token.as<int32_t>(),
                     a.value.as<float>(),
                     reinterpret_cast<uint64_t*>(scratch + l.keys),
                     reinterpret_cast<uint64_t*>(scratch + l.best),
                     reinterpret_cast<uint32_t*>(scratch + l.bad),
                     reinterpret_cast<float*>(scratch + l.mass),
                     static_cast<int>(l.n),
                     static_cast<int>(a.logits.dims[1]),
                     static_cast<int>(a.temperature.dims[0]),
                     static_cast<int>(l.segments),
                     static_cast<int>(a.k),
                     static_cast<int>(a.depth),
                     static_cast<float>(a.beta),
                     device(cx).flags};
  void* const stream = device(cx).stream;
  const bool wide = a.logits.dims[1] % 4 == 0 && aligned16(a.logits);
  const Extent rows = {static_cast<unsigned>(l.n)}, parts = {static_cast<unsigned>(l.n * l.segments)};
  Status status = launch(stream, wide ? draft_scan_kernel<true> : draft_scan_kernel<false>, parts, {kLogitThreads},
                         sizeof(SegmentSmem), args);
  if (status.ok())
    status = launch(stream, wide ? draft_rank_kernel<true> : draft_rank_kernel<false>, parts, {kLogitThreads},
                    sizeof(RankSmem), args);
  if (!status.ok()) return status;
  return launch(stream, draft_merge_kernel, rows, {kLogitThreads}, sizeof(RankSmem), args);
}

}  // namespace hb::cuda
