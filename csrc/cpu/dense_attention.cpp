#include "cpu/kernels.h"

namespace hb::cpu {

namespace {

// Both products are tiles of linear_tile: q against panels of 16 keys, then the weights against panels of 16 value
// columns. A score is one chain over D, an output one chain over the keys of the row's range in order; rows with the
// same range share tiles.
constexpr int64_t kBlock = 48;  ///< query rows per unit: a multiple of every tile height
constexpr int64_t kKeys = 256;  ///< keys per step of the second product, so that their value panels stay in cache
constexpr int64_t kPanelBytes = 64 << 20;  ///< heads go together as long as their panels fit this

struct Plan {
  int64_t n, heads, d, keys, value_panels, score_stride, head_floats, together;
  explicit Plan(const DenseAttention& a) {
    n = a.qkv.dims[0], heads = a.qkv.dims[2], d = a.qkv.dims[3];
    keys = round_up(n, kPanel);
    value_panels = (d + kPanel - 1) / kPanel;
    score_stride = keys + kPanel;  // an odd number of cache lines: rows fall into different sets
    head_floats = keys * d + value_panels * kPanel * n;
    const int64_t fit = head_floats > 0 ? kPanelBytes / (head_floats * 4) : heads;
    together = fit < 1 ? 1 : fit < heads ? fit : heads;
  }
  int64_t panel_bytes() const { return round_up(together * head_floats * 4, 64); }
  int64_t worker_floats() const { return kBlock * (score_stride + round_up(d, kPanel) + 64 + 1); }
};

void copy_floats(const TensorView& t, int64_t index, float* to, int64_t n) {
  if (t.dtype == DType::bf16) {
    const uint16_t* from = t.as<const uint16_t>() + index;
    for (int64_t i = 0; i < n; ++i) to[i] = bf16_to_f32(from[i]);
  } else {
    std::memcpy(to, t.as<const float>() + index, static_cast<size_t>(n) * 4);
  }
}

/// What the tasks of one call share.
struct Call {
  const OpContext& cx;
  const DenseAttention& a;
  const Plan plan;
  const int64_t live;  ///< rows that exist
  float* panels;
  char* workers;

  int64_t q_at(int64_t row, int64_t head) const { return (row * 3 * plan.heads + head) * plan.d; }
  int64_t k_at(int64_t row, int64_t head) const { return q_at(row, plan.heads + head); }
  int64_t v_at(int64_t row, int64_t head) const { return q_at(row, 2 * plan.heads + head); }
  float* keys_of(int64_t slot) const { return panels + slot * plan.head_floats; }
  float* values_of(int64_t slot) const { return keys_of(slot) + plan.keys * plan.d; }

  void range_of(int64_t row, int64_t& first, int64_t& last) const {
    first = 0, last = live;
    if (!a.ranges) return;
    const int32_t* r = a.ranges.as<const int32_t>() + 2 * row;
    first = r[0] < 0 ? 0 : r[0] > live ? live : r[0];
    last = r[1] < first ? first : r[1] > live ? live : r[1];
  }

  /// Keys and values of 16 rows go into the panels of a head.
  void pack(int64_t head, int64_t slot, int64_t first) const {
    const int64_t d = plan.d, count = live - first < kPanel ? live - first : kPanel;
    float* keys = keys_of(slot) + first * d;
    for (int64_t r = 0; r < kPanel; ++r) {
      const int64_t from = k_at(first + r, head);
      if (r >= count)
        for (int64_t i = 0; i < d; ++i) keys[i * kPanel + r] = 0;
      else if (a.qkv.dtype == DType::bf16)
        for (int64_t i = 0; i < d; ++i) keys[i * kPanel + r] = bf16_to_f32(a.qkv.as<const uint16_t>()[from + i]);
      else
        for (int64_t i = 0; i < d; ++i) keys[i * kPanel + r] = a.qkv.as<const float>()[from + i];
    }
    for (int64_t p = 0; p < plan.value_panels; ++p) {
      const int64_t column = p * kPanel, width = d - column < kPanel ? d - column : kPanel;
      for (int64_t r = 0; r < count; ++r) {
        float* to = values_of(slot) + (p * plan.n + first + r) * kPanel;
        copy_floats(a.qkv, v_at(first + r, head) + column, to, width);
        for (int64_t i = width; i < kPanel; ++i) to[i] = 0;
      }
    }
  }

  /// `count` query rows from `row` that all see keys [first, last).
  void attend(int64_t head, int64_t slot, int64_t row, int64_t count, int64_t first, int64_t last, float* mine) const {
    const int64_t d = plan.d, n = last - first;
    const Verbs& v = verbs(cx);
    float *scores = mine, *acc = scores + kBlock * plan.score_stride, *inverse = acc + kBlock * 64,
          *staged = inverse + kBlock;
    const int64_t out_stride = plan.heads * d;
    if (n == 0) {
      for (int64_t r = 0; r < count; ++r)
        std::memset(at(a.out, (row + r) * out_stride + head * d), 0, static_cast<size_t>(d) * bytes_of(a.out.dtype));
      return;
    }
    LinearTile tile{};
    tile.rows = count;
    tile.out = acc;
    if (a.qkv.dtype == DType::bf16) {
      for (int64_t r = 0; r < count; ++r) v.widen_row(at(a.qkv, q_at(row + r, head)), staged + r * d, d);
      tile.x = staged, tile.x_stride = d;
    } else {
      tile.x = at(a.qkv, q_at(row, head)), tile.x_stride = 3 * plan.heads * d;
    }
    tile.k = d;
    for (int64_t key = first / kPanel * kPanel; key < last; key += 64) {
      tile.panels = 0;
      for (int64_t p = key; p < last && tile.panels < 4; p += kPanel) tile.panel[tile.panels++] = keys_of(slot) + p * d;
      v.linear_tile(tile);
      const int64_t from = key < first ? first : key, to = key + 64 < last ? key + 64 : last;
      for (int64_t r = 0; r < count; ++r)
        std::memcpy(scores + r * plan.score_stride + from - first, acc + r * 64 + from - key,
                    static_cast<size_t>(to - from) * 4);
    }
    for (int64_t r = 0; r < count; ++r)
      inverse[r] = v.softmax_row(scores + r * plan.score_stride, n, static_cast<float>(a.scale));
    tile.x_stride = plan.score_stride;
    for (int64_t panel = 0; panel < plan.value_panels; panel += 4) {
      const int64_t column = panel * kPanel, width = d - column < 64 ? d - column : 64;
      tile.panels = static_cast<int>(plan.value_panels - panel < 4 ? plan.value_panels - panel : 4);
      for (int64_t key = 0; key < n; key += kKeys) {
        tile.x = scores + key;
        tile.k = n - key < kKeys ? n - key : kKeys;
        tile.resume = key > 0;
        for (int p = 0; p < tile.panels; ++p)
          tile.panel[p] = values_of(slot) + ((panel + p) * plan.n + first + key) * kPanel;
        v.linear_tile(tile);
      }
      for (int64_t r = 0; r < count; ++r)
        v.affine_row(a.out.dtype == DType::bf16 ? kSecondBf16 : 0, acc + r * 64,
                     at(a.out, (row + r) * out_stride + head * d + column), width, inverse[r], 0.0f);
    }
  }
};

}  // namespace

size_t dense_attention_workspace(const DenseAttention& a, int workers) {
  const Plan plan(a);
  return static_cast<size_t>(plan.panel_bytes() + workers * round_up(plan.worker_floats() * 4, 64));
}

Status dense_attention_cpu(const OpContext& cx, const DenseAttention& a) {
  const Plan plan(a);
  const int64_t live = live_rows(a.rows, plan.n);
  if (plan.d == 0) return Status::success();
  const Call call{
      cx, a, plan, live, static_cast<float*>(cx.scratch), static_cast<char*>(cx.scratch) + plan.panel_bytes()};
  if (a.ranges)
    for (int64_t row = 0; row < live; ++row) {
      const int32_t* r = a.ranges.as<const int32_t>() + 2 * row;
      if (r[0] < 0 || r[1] > live) *cx.flags |= kFlagIndexClamped;
    }
  const int64_t packs = (live + kPanel - 1) / kPanel, blocks = (live + kBlock - 1) / kBlock;
  for (int64_t head = 0; head < plan.heads; head += plan.together) {
    const int64_t count = plan.heads - head < plan.together ? plan.heads - head : plan.together;
    parallel_for(cx, count * packs,
                 [&](int64_t unit, int) { call.pack(head + unit / packs, unit / packs, unit % packs * kPanel); });
    parallel_for(cx, count * blocks, [&](int64_t unit, int worker) {
      float* mine = reinterpret_cast<float*>(call.workers + worker * round_up(plan.worker_floats() * 4, 64));
      const int64_t slot = unit / blocks,
                    end = (unit % blocks + 1) * kBlock < live ? (unit % blocks + 1) * kBlock : live;
      for (int64_t row = unit % blocks * kBlock; row < end;) {
        int64_t first, last, run = 1;
        call.range_of(row, first, last);
        for (int64_t f, l; row + run < end; ++run) {
          call.range_of(row + run, f, l);
          if (f != first || l != last) break;
        }
        call.attend(head + slot, slot, row, run, first, last, mine);
        row += run;
      }
    });
  }
  return Status::success();
}

}  // namespace hb::cpu
