#include "cpu/kernels.h"

namespace hb::cpu {

namespace {

/// One head of a worker, and the same in bf16 behind it.
int64_t head_bytes(int64_t d) { return round_up(d * 6, 64); }

}  // namespace

size_t qk_norm_rope_append_workspace(const QkNormRopeAppend& a, int workers) {
  return static_cast<size_t>(workers * head_bytes(a.q.dims[2]));
}

Status qk_norm_rope_append_cpu(const OpContext& cx, const QkNormRopeAppend& a) {
  const int64_t n = live_rows(a.rows, a.qkv.dims[0]), split = split_row(a.split, a.qkv.dims[0]);
  const int64_t h = a.q.dims[1], d = a.q.dims[2], g = a.k_cache.dims[1], pages = a.k_cache.dims[0];
  const int64_t batch = a.page_table.dims[0], table = a.page_table.dims[1], columns = a.qkv.dims[1];
  const bool bf16 = a.qkv.dtype == DType::bf16;
  const float eps = static_cast<float>(a.eps);
  bool clamped = false;
  for (int64_t row = 0; row < n; ++row) {  // one cheap pass, so that only this thread writes the flags
    const int64_t seq = a.seq.as<const int32_t>()[row], slot = a.slots.as<const int32_t>()[row];
    clamped = clamped || seq < 0 || seq >= batch || slot >= table * kPageSlots;
  }
  if (clamped) *cx.flags |= kFlagIndexClamped;
  parallel_for(cx, n, [&](int64_t row, int worker) {
    float* head = reinterpret_cast<float*>(static_cast<char*>(cx.scratch) + worker * head_bytes(d));
    const bool gen = row >= split;
    const TensorView &q_norm = gen ? a.q_norm_gen : a.q_norm, &k_norm = gen ? a.k_norm_gen : a.k_norm;
    const float* rope = a.rope.as<const float>() + row * d;
    for (int64_t i = 0; i < h; ++i) {
      verbs(cx).norm_rope_head(types(a.qkv, q_norm), at(a.qkv, row * columns + i * d), q_norm.data, rope, d, eps, head);
      void* q = at(a.q, (row * h + i) * d);
      if (bf16)
        verbs(cx).narrow_row(head, q, d);
      else
        std::memcpy(q, head, static_cast<size_t>(d) * 4);
    }
    const int64_t slot = a.slots.as<const int32_t>()[row];
    if (slot < 0 || slot >= table * kPageSlots || batch == 0) return;
    const int64_t seq = clamp_index(a.seq.as<const int32_t>()[row], batch);
    const int64_t page = a.page_table.as<const int32_t>()[seq * table + slot / kPageSlots];
    if (page < 0 || page >= pages) return;
    for (int64_t i = 0; i < g; ++i) {
      verbs(cx).norm_rope_head(types(a.qkv, k_norm), at(a.qkv, row * columns + (h + i) * d), k_norm.data, rope, d, eps,
                               head);
      const int64_t k0 = (page * g + i) * d * kPageSlots + slot % kPageSlots;
      const int64_t v0 = ((page * g + i) * kPageSlots + slot % kPageSlots) * d;
      if (bf16) {
        auto* narrow = reinterpret_cast<uint16_t*>(head + d);
        verbs(cx).narrow_row(head, narrow, d);
        for (int64_t j = 0; j < d; ++j) a.k_cache.as<uint16_t>()[k0 + j * kPageSlots] = narrow[j];
      } else {
        for (int64_t j = 0; j < d; ++j) a.k_cache.as<float>()[k0 + j * kPageSlots] = head[j];
      }
      std::memcpy(at(a.v_cache, v0), at(a.qkv, row * columns + (h + g + i) * d),
                  static_cast<size_t>(d) * bytes_of(a.qkv.dtype));
    }
  });
  return Status::success();
}

}  // namespace hb::cpu
