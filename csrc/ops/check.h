#pragma once
#include "ops/schema.h"

namespace hb {

/// Checks a call against its contract and completes it. On entry the struct holds the In and InOut views (absent ones
/// default-constructed) and the attributes as given; on success the Out views have dtype, dims, layout and `present`
/// set, and `dtype` attributes their resolved value. Fails with BAD_DTYPE, BAD_SHAPE or BAD_OPTION.
Status check(const Contract& contract, void* args);

/// "f32 [2, 3]"
std::string describe(const TensorView& t);

inline TensorView& view_of(void* args, const Operand& o) {
  return *reinterpret_cast<TensorView*>(static_cast<char*>(args) + o.offset);
}
inline const TensorView& view_of(const void* args, const Operand& o) {
  return *reinterpret_cast<const TensorView*>(static_cast<const char*>(args) + o.offset);
}

}  // namespace hb
