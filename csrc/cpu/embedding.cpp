#include "cpu/rows.h"

namespace hb::cpu {

Status embedding_cpu(const OpContext& cx, const Embedding& a) {
  const int64_t n = live_rows(a.rows, a.ids.dims[0]), size = a.table.dims[0], d = a.table.dims[1];
  flag_clamped(cx, a.ids, n, size);
  each_row(cx, n, d * 4, [&](int64_t row) {
    const int64_t id = clamp_index(a.ids.as<const int32_t>()[row], size);
    convert(cx, a.table.dtype, at(a.table, id * d), a.out.dtype, at(a.out, row * d), d);
  });
  return Status::success();
}

Status embed_add_cpu(const OpContext& cx, const EmbedAdd& a) {
  const int64_t n = live_rows(a.rows, a.x.dims[0]), d = a.x.dims[1];
  const int64_t size = a.table.dims[0], size2 = a.table2 ? a.table2.dims[0] : 0;
  flag_clamped(cx, a.ids, n, size);
  if (a.table2) flag_clamped(cx, a.ids2, n, size2);
  const int kinds = types(a.x, a.table) | (a.table2 && a.table2.dtype == DType::bf16 ? kThirdBf16 : 0);
  each_row(cx, n, d * 8, [&](int64_t row) {
    const void* first = at(a.table, clamp_index(a.ids.as<const int32_t>()[row], size) * d);
    const void* second = a.table2 ? at(a.table2, clamp_index(a.ids2.as<const int32_t>()[row], size2) * d) : nullptr;
    verbs(cx).add_rows(kinds, at(a.x, row * d), first, second, at(a.out, row * d), d);
  });
  return Status::success();
}

}  // namespace hb::cpu
