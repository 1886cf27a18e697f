#include <algorithm>

#include "core/noise.h"
#include "cpu/images.h"
#include "cpu/kernels.h"

namespace hb::cpu {

Status philox_normal_cpu(const OpContext& cx, const PhiloxNormal& a) {
  constexpr int64_t kDraws = 4096;  // per task, a multiple of 4
  const auto* seeds = a.seed.as<const uint32_t>();
  const int64_t rows = a.out.dims[0], width = a.out.dims[1];
  const uint32_t position = a.position ? *a.position.as<const uint32_t>() : 0u;
  auto tasks_of = [width](int64_t count) { return (count * width + kDraws - 1) / kDraws; };

  const Images images(a.images, rows);
  bool clamped = images.begins_elsewhere();
  int64_t tasks = 0;
  for (int64_t j = 0, from = 0; j < images.count(); ++j) {
    const int64_t to = images.end(j, from, &clamped);
    tasks += tasks_of(to - from);
    from = to;
  }
  if (clamped) *cx.flags |= kFlagIndexClamped;

  parallel_for(cx, tasks, [&](int64_t task, int) {
    bool ignored = false;
    int64_t image = 0, from = 0, to = images.end(0, 0, &ignored);
    while (task >= tasks_of(to - from)) {
      task -= tasks_of(to - from);
      from = to;
      to = images.end(++image, from, &ignored);
    }
    const NoiseKey key = {
        {seeds[2 * image], seeds[2 * image + 1]}, position, purpose_word(static_cast<Purpose>(a.purpose))};
    const int64_t first = task * kDraws, n = (to - from) * width;
    verbs(cx).normal_run(key, first, static_cast<float>(a.mean), static_cast<float>(a.deviation),
                         a.out.dtype == DType::bf16, at(a.out, from * width + first), std::min(kDraws, n - first));
  });
  return Status::success();
}

}  // namespace hb::cpu
