#pragma once
#include "ops/declare.h"

namespace hb {

struct VaeLatent {
  TensorView moments;  // [H W M], M = 2 Z
  TensorView noise;    // [H W Z], may be absent
  TensorView out;      // [H W Z]
  double scale;
  double shift;
};

inline constexpr Operand vae_latent_operands[] = {
    HB_IN(VaeLatent, moments, kFloat, 'T', "H W M", "mean channels, then log-variance channels"),
    HB_OPT(VaeLatent, noise, kFloat, 'T', "H W Z", "standard normal draws; the mean alone when absent"),
    HB_OUT(VaeLatent, out, kFloat, 'T', "H W Z", "scaled latent, Z = M / 2"),
};
inline constexpr Attribute vae_latent_attributes[] = {
    HB_REAL(VaeLatent, scale, -kHuge, kHuge, kNone, "scale factor of the autoencoder"),
    HB_REAL(VaeLatent, shift, -kHuge, kHuge, kNone, "shift factor of the autoencoder"),
};

inline Status vae_latent_rules(void* args) {
  auto& a = *static_cast<VaeLatent*>(args);
  if (a.moments.dims[2] % 2)
    return Status::mismatch(Code::BAD_SHAPE, "moments", "an even number of channels", num(a.moments.dims[2]));
  if (a.noise && a.noise.dims[2] != a.moments.dims[2] / 2)
    return Status::mismatch(Code::BAD_SHAPE, "noise", num(a.moments.dims[2] / 2) + " channels", num(a.noise.dims[2]));
  set_dims(a.out, a.moments.dims[0], a.moments.dims[1], a.moments.dims[2] / 2);
  return Status::success();
}

inline Cost vae_latent_cost(const void* args) {
  auto& a = *static_cast<const VaeLatent*>(args);
  return {4.0 * static_cast<double>(a.out.elements()), bytes_of(a.moments) + bytes_of(a.noise) + bytes_of(a.out)};
}

inline constexpr Contract vae_latent_contract =
    contract<VaeLatent>("vae_latent", "The scaled latent of the autoencoder's moments.",
                        "out = scale * (mean + exp(logvar / 2) * noise - shift)", vae_latent_operands,
                        vae_latent_attributes, vae_latent_rules, vae_latent_cost);

}  // namespace hb
