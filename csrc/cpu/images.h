#pragma once
#include <algorithm>

#include "core/tensor.h"

namespace hb::cpu {

/// Rows where image `j` begins and ends: in order, the first from row 0 on, the last up to row n. One image without
/// starts.
class Images {
 public:
  Images(const TensorView& starts, int64_t n) : starts_(starts), n_(n) {}
  int64_t count() const { return starts_ ? std::max<int64_t>(starts_.dims[0] - 1, 1) : 1; }
  /// The first start must be row 0; another one is ignored and flagged.
  bool begins_elsewhere() const { return starts_ && starts_.dims[0] > 0 && start(0) != 0; }
  /// End of image j, which begins at `from`.
  int64_t end(int64_t j, int64_t from, bool* clamped) const {
    if (j + 1 == count()) {
      *clamped = *clamped || (starts_ && (starts_.dims[0] < 2 || start(j + 1) != n_));
      return n_;
    }
    const int64_t asked = start(j + 1), given = std::clamp(asked, from, n_);
    *clamped = *clamped || asked != given;
    return given;
  }

 private:
  int64_t start(int64_t j) const { return starts_.as<const int32_t>()[j]; }

  const TensorView& starts_;
  int64_t n_;
};

}  // namespace hb::cpu
