#pragma once
#include <cstdint>

#include "core/host_device.h"

namespace hb {

/// The one table of purposes: draws for different purposes never share a counter, whatever the seed and the position.
enum class Purpose : uint8_t {
  token = 0,     ///< Gumbel noise of sampled tokens; counter word 0 is id / 4, word 1 the token's index in the answer
  accept = 1,    ///< coins of classic speculative verification
  residual = 2,  ///< its residual and bonus draws
  draft = 3,     ///< a drafter's own draws
  latent = 4,    ///< initial noise of an image
  solver = 5,    ///< fresh noise of stochastic solvers; word 1 is the step
  vae = 6,       ///< sampling of the autoencoder's posterior
  weight = 7,    ///< random weights; word 1 is the tensor's number
};

struct Philox4 {
  uint32_t word[4];
};

/// Philox4x32 with 10 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
/// Key: the 64-bit seed. Counter: (index, position, purpose << 24, branch).
HB_HD inline Philox4 philox(uint32_t key0, uint32_t key1, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = static_cast<uint64_t>(0xD2511F53u) * c0, p1 = static_cast<uint64_t>(0xCD9E8D57u) * c2;
    const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ key0, n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ key1;
    c1 = static_cast<uint32_t>(p1), c3 = static_cast<uint32_t>(p0), c0 = n0, c2 = n2;
    key0 += 0x9E3779B9u, key1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

HB_HD constexpr uint32_t purpose_word(Purpose p) { return static_cast<uint32_t>(p) << 24; }

}  // namespace hb
