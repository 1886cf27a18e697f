#pragma once
// Rows where the images of a call begin and end. Device code.
#include "cuda/flags.h"

namespace hb::cuda {

/// In order, the first from row 0 on, the last up to row n; one image without starts.
struct Images {
  const int32_t* starts;  ///< may be null
  int listed;             ///< how many starts
  int64_t n;

  HB_DEVICE int count() const { return starts && listed > 2 ? listed - 1 : 1; }
  /// End of image j, which begins at `from`.
  HB_DEVICE int64_t end(int j, int64_t from) const {
    if (j + 1 == count()) return n;
    const int64_t asked = starts[j + 1];
    return asked < from ? from : asked > n ? n : asked;
  }
  /// Raises the flag when starts are not 0, rising, n. For one thread.
  HB_DEVICE void check(uint32_t* flags) const {
    if (!starts) return;
    bool odd = listed < 2 || starts[0] != 0;
    int64_t from = 0;
    for (int j = 0; j + 1 < listed; ++j) {
      const int64_t to = end(j, from);
      odd = odd || starts[j + 1] != to;
      from = to;
    }
    if (odd) raise<kFlagIndexClamped>(flags);
  }
};

}  // namespace hb::cuda
