#include <algorithm>

#include "cpu/rows.h"

namespace hb::cpu {

namespace {

int64_t list_bytes(const Penalize& a) { return round_up((a.history.dims[1] + kTreeNodes) * 4, 64); }

}  // namespace

size_t penalize_workspace(const Penalize& a, int workers) { return static_cast<size_t>(workers * list_bytes(a)); }

Status penalize_cpu(const OpContext& cx, const Penalize& a) {
  const int64_t n = live_rows(a.rows, a.logits.dims[0]), vocabulary = a.logits.dims[1], batch = a.penalty.dims[0],
                length = a.history.dims[1];
  if (batch == 0) return Status::success();
  flag_clamped(cx, a.seq, n, batch);
  parallel_for(cx, n, [&](int64_t row, int worker) {
    const int64_t b = clamp_index(a.seq.as<const int32_t>()[row], batch);
    const float penalty = a.penalty.as<const float>()[b];
    if (!(penalty > 0) || penalty == 1) return;
    auto* list = reinterpret_cast<int32_t*>(static_cast<char*>(cx.scratch) + worker * list_bytes(a));
    const int64_t count = std::clamp<int64_t>(a.count.as<const int32_t>()[b], 0, length);
    int32_t* end = std::copy_n(a.history.as<const int32_t>() + b * length, count, list);
    if (a.token) {
      const int64_t start = a.first.as<const int32_t>()[b];
      int64_t node = row;
      for (int step = 1; step < kTreeNodes; ++step) {  // parents come before their children: the walk ends
        const int64_t up = a.parent.as<const int32_t>()[node];
        if (up < 0 || start < 0 || start + up >= node) break;
        *end++ = a.token.as<const int32_t>()[node];
        node = start + up;
      }
    }
    std::sort(list, end);
    end = std::unique(list, end);
    float* logits = a.logits.as<float>() + row * vocabulary;
    for (const int32_t* t = list; t < end; ++t) {
      if (*t < 0 || *t >= vocabulary) continue;
      float& x = logits[*t];
      x = x > 0 ? x / penalty : x * penalty;
    }
  });
  return Status::success();
}

}  // namespace hb::cpu
