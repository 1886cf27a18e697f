#include <algorithm>

#include "cpu/rows.h"

namespace hb::cpu {

namespace {

/// Copies element `from` of each of `n` strided runs to element `to`.
template <class T>
void move_column(T* cache, int64_t from_page, int64_t from, int64_t to_page, int64_t to, int64_t n) {
  const T* source = cache + from_page + from;
  T* target = cache + to_page + to;
  for (int64_t i = 0; i < n; ++i) target[i * kPageSlots] = source[i * kPageSlots];
}

}  // namespace

Status kv_commit_cpu(const OpContext& cx, const KvCommit& a) {
  const int64_t g = a.k_cache.dims[1], d = a.k_cache.dims[2], pages = a.k_cache.dims[0] / a.layers;
  const int64_t batch = a.page_table.dims[0], table = a.page_table.dims[1], width = a.path.dims[1];
  const auto *path = a.path.as<const int32_t>(), *accepted = a.accepted.as<const int32_t>(),
             *slots = a.slots.as<const int32_t>(), *page_table = a.page_table.as<const int32_t>();
  const int64_t size = static_cast<int64_t>(bytes_of(a.k_cache.dtype));
  auto page_of = [&](int64_t b, int64_t slot) -> int64_t {
    if (slot < 0 || slot >= table * kPageSlots) return -1;
    const int64_t page = page_table[b * table + slot / kPageSlots];
    return page < pages ? page : -1;
  };
  // `visit(from page, from slot, to page, to slot)` for every row that moves, in order
  auto each_move = [&](auto&& visit) {
    bool bad = false;
    for (int64_t b = 0; b < batch; ++b) {
      const int64_t count = std::clamp<int64_t>(accepted[b], 0, width), base = slots[b] - count;
      bad = bad || count != accepted[b];
      for (int64_t j = 1; j < count; ++j) {
        const int64_t node = path[b * width + j];
        if (node == j) continue;
        const int64_t from = page_of(b, base + node), to = page_of(b, base + j);
        if (node < j || from < 0 || to < 0)
          bad = true;
        else
          visit(from, (base + node) % kPageSlots, to, (base + j) % kPageSlots);
      }
    }
    return bad;
  };
  bool any = false;
  if (each_move([&](int64_t, int64_t, int64_t, int64_t) { any = true; })) *cx.flags |= kFlagIndexClamped;
  if (!any) return Status::success();
  const int64_t head = d * kPageSlots;  // elements of one head of one page
  parallel_for(cx, a.layers * g, [&](int64_t unit, int) {
    const int64_t layer = unit / g, group = unit % g;
    each_move([&](int64_t from_page, int64_t from, int64_t to_page, int64_t to) {
      const int64_t source = ((layer * pages + from_page) * g + group) * head,
                    target = ((layer * pages + to_page) * g + group) * head;
      if (size == 2)
        move_column(a.k_cache.as<uint16_t>(), source, from, target, to, d);
      else
        move_column(a.k_cache.as<float>(), source, from, target, to, d);
      std::memmove(at(a.v_cache, target + to * d), at(a.v_cache, source + from * d), static_cast<size_t>(d * size));
    });
  });
  return Status::success();
}

}  // namespace hb::cpu
