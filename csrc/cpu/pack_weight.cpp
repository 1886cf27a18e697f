#include "cpu/kernels.h"
#include "cpu/pack.h"

namespace hb::cpu {

void pack_panel(const void* const* rows, int live, int64_t k, DType dtype, void* panel) {
  const int64_t columns = packed_columns(k, dtype);
  if (dtype == DType::f32) {
    float* out = static_cast<float*>(panel);
    for (int64_t c = 0; c < columns; ++c)
      for (int r = 0; r < kPanel; ++r) out[c * kPanel + r] = r < live ? static_cast<const float*>(rows[r])[c] : 0.0f;
    return;
  }
  uint16_t* out = static_cast<uint16_t*>(panel);
  for (int64_t c = 0; c < columns; c += 2)
    for (int r = 0; r < kPanel; ++r) {
      const uint16_t* row = r < live ? static_cast<const uint16_t*>(rows[r]) : nullptr;
      out[c * kPanel + 2 * r] = row && c < k ? row[c] : 0;
      out[c * kPanel + 2 * r + 1] = row && c + 1 < k ? row[c + 1] : 0;
    }
}

Status pack_weight_cpu(const OpContext& cx, const PackWeight& a) {
  const int64_t k = a.weight.dims[1], m = a.out.dims[0];
  const int64_t panel_bytes = packed_columns(k, a.out.dtype) * kPanel * static_cast<int64_t>(bytes_of(a.out.dtype));
  const TensorView* parts[] = {&a.weight, &a.second, &a.third};
  parallel_for(cx, (m + kPanel - 1) / kPanel, [&](int64_t panel, int) {
    const void* rows[kPanel] = {};
    const int live = static_cast<int>(m - panel * kPanel < kPanel ? m - panel * kPanel : kPanel);
    for (int r = 0; r < live; ++r) {
      int64_t row = panel * kPanel + r;
      int part = 0;
      while (row >= parts[part]->dims[0]) row -= parts[part++]->dims[0];
      rows[r] = at(*parts[part], row * k);
    }
    pack_panel(rows, live, k, a.out.dtype, static_cast<char*>(a.out.data) + panel * panel_bytes);
  });
  return Status::success();
}

}  // namespace hb::cpu
