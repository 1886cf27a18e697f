#pragma once
#include "ops/declare.h"

namespace hb {

struct Increment {
  TensorView x;  // [N]
  int64_t by;
};

inline constexpr Operand increment_operands[] = {
    HB_STATE(Increment, x, kI32, '-', "N", "counters, a step index for example")};
inline constexpr Attribute increment_attributes[] = {
    HB_INT(Increment, by, -2147483648.0, 2147483647.0, 1, "added to each")};

inline Cost increment_cost(const void* args) {
  auto& a = *static_cast<const Increment*>(args);
  return {0, 2 * bytes_of(a.x)};
}

inline constexpr Contract increment_contract =
    contract<Increment>("increment", "Adds a constant to device-side counters.", "x = x + by (wraps)",
                        increment_operands, increment_attributes, nullptr, increment_cost);

}  // namespace hb
