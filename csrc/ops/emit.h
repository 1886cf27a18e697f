#pragma once
#include "ops/declare.h"

namespace hb {

struct Emit {
  TensorView payload;  // any shape
  TensorView when;     // [1], may be absent
  int64_t channel;
};

inline constexpr Operand emit_operands[] = {
    HB_IN(Emit, payload, kAny, 'T', "*", "bytes that the host gets"),
    HB_OPT(Emit, when, kI32, '-', "1", "0: nothing is emitted"),
};
inline constexpr Attribute emit_attributes[] = {
    HB_INT(Emit, channel, 0, 1e6, kNone, "number by which the host tells records apart")};

inline Cost emit_cost(const void* args) {
  auto& a = *static_cast<const Emit*>(args);
  return {0, 2 * bytes_of(a.payload)};
}

inline constexpr Contract emit_contract =
    contract<Emit>("emit", "Sends a tensor to the host through the context's ring, in order.",
                   "ring <- (channel, payload)", emit_operands, emit_attributes, nullptr, emit_cost);

}  // namespace hb
