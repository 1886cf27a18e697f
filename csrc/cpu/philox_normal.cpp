#include <algorithm>

#include "core/noise.h"
#include "cpu/kernels.h"

namespace hb::cpu {

Status philox_normal_cpu(const OpContext& cx, const PhiloxNormal& a) {
  constexpr int64_t kDraws = 4096;  // per task, a multiple of 4
  const auto* seed = a.seed.as<const uint32_t>();
  const NoiseKey key = {{seed[0], seed[1]},
                        a.position ? *a.position.as<const uint32_t>() : 0u,
                        purpose_word(static_cast<Purpose>(a.purpose))};
  const int64_t n = a.out.elements();
  parallel_for(cx, (n + kDraws - 1) / kDraws, [&](int64_t i, int) {
    const int64_t first = i * kDraws;
    verbs(cx).normal_run(key, first, static_cast<float>(a.mean), static_cast<float>(a.deviation),
                         a.out.dtype == DType::bf16, at(a.out, first), std::min(kDraws, n - first));
  });
  return Status::success();
}

}  // namespace hb::cpu
