// Repetition penalty: a block per row marks the tokens that it has met in a bitmap of the vocabulary in shared memory;
// whoever marks one first changes its logit. 152064 tokens: 19 KB to clear, then 12 bytes per token of the history.
#include "cuda/indices.h"
#include "cuda/kernels.h"
#include "cuda/launch.h"

namespace hb::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kMostWords = 16384;  ///< of the bitmap: a larger vocabulary is gone through in parts

struct Args {
  float* logits;
  const float* penalty;
  const int32_t *history, *count, *seq, *token, *parent, *first, *rows;
  int n, v, b, length, words;
  uint32_t* flags;
};

/// Applies the penalty to token t when it lies in the part of the vocabulary from `begin` on and was not met before.
HB_DEVICE void meet(float* logits, int32_t t, int begin, int end, float penalty, uint32_t* met) {
  if (t < begin || t >= end) return;
  const uint32_t at = static_cast<uint32_t>(t - begin), bit = 1u << at % 32;
  if (atomic_or(met + at / 32, bit) & bit) return;
  const float x = logits[t];
  logits[t] = x > 0 ? div_rn(x, penalty) : mul_rn(x, penalty);
}

HB_KERNEL void HB_BOUNDS(kThreads, 4) penalize_kernel(Args a) {
  const int row = static_cast<int>(block_x()), t = static_cast<int>(thread_x());
  if (row >= live_count(a.rows, a.n)) return;
  const int b = clamp_index(a.seq[row], a.b, t == 0 ? a.flags : nullptr);
  const float penalty = a.penalty[b];
  if (!(penalty > 0) || penalty == 1) return;
  HB_DYN_SMEM(raw);
  uint32_t* met = reinterpret_cast<uint32_t*>(raw);
  float* logits = a.logits + int64_t{row} * a.v;
  const int32_t* history = a.history + int64_t{b} * a.length;
  const int count = live_count(a.count + b, a.length);
  for (int64_t begin = 0; begin < a.v; begin += 32 * a.words) {
    const int from = static_cast<int>(begin), to = a.v - from < 32 * a.words ? a.v : from + 32 * a.words;
    for (int w = t; w < a.words; w += kThreads) met[w] = 0;
    sync_block();
    for (int i = t; i < count; i += kThreads) meet(logits, history[i], from, to, penalty, met);
    if (a.token && t == kThreads - 1) {  // the way up, by a thread with little else to do
      const int start = a.first[b];
      int node = row;
      for (int step = 1; step < kTreeNodes; ++step) {
        const int up = a.parent[node];
        if (up < 0 || start < 0 || int64_t{start} + up >= node) break;
        meet(logits, a.token[node], from, to, penalty, met);
        node = start + up;
      }
    }
    sync_block();
  }
}

}  // namespace

Status penalize_cuda(const OpContext& cx, const Penalize& a) {
  const int64_t n = a.logits.dims[0], v = a.logits.dims[1];
  if (n == 0 || v == 0 || a.penalty.dims[0] == 0) return Status::success();
  const auto optional = [](const TensorView& t) { return t ? t.as<int32_t>() : nullptr; };
  const int64_t words = (v + 31) / 32;
  const Args args = {a.logits.as<float>(),
                     a.penalty.as<float>(),
                     a.history.as<int32_t>(),
                     a.count.as<int32_t>(),
                     a.seq.as<int32_t>(),
                     optional(a.token),
                     optional(a.parent),
                     optional(a.first),
                     optional(a.rows),
                     static_cast<int>(n),
                     static_cast<int>(v),
                     static_cast<int>(a.penalty.dims[0]),
                     static_cast<int>(a.history.dims[1]),
                     static_cast<int>(words < kMostWords ? words : kMostWords),
                     device(cx).flags};
  return launch(device(cx).stream, penalize_kernel, {static_cast<unsigned>(n)}, {kThreads},
                static_cast<size_t>(args.words) * 4, args);
}

}  // namespace hb::cuda
