#pragma once
#include "ops/declare.h"

namespace hb {

struct DecodeAdvance {
  TensorView token;      // [N]
  TensorView stop;       // [K]
  TensorView limit;      // [N]
  TensorView tokens;     // [N]
  TensorView positions;  // [N]
  TensorView slots;      // [N]
  TensorView visible;    // [N]
  TensorView output;     // [N]
  TensorView finished;   // [N]
  TensorView live;       // [1]
  TensorView event;      // [N 4]
};

inline constexpr Operand decode_advance_operands[] = {
    HB_IN(DecodeAdvance, token, kI32, '-', "N", "token that the step chose for each sequence"),
    HB_IN(DecodeAdvance, stop, kI32, '-', "K", "stop tokens; negative entries are unused"),
    HB_IN(DecodeAdvance, limit, kI32, '-', "N", "most tokens of each answer"),
    HB_STATE(DecodeAdvance, tokens, kI32, '-', "N", "token that the next step feeds"),
    HB_STATE(DecodeAdvance, positions, kI32, '-', "N", "its rotary position"),
    HB_STATE(DecodeAdvance, slots, kI32, '-', "N", "its cache slot"),
    HB_STATE(DecodeAdvance, visible, kI32, '-', "N", "slots that it sees, itself included"),
    HB_STATE(DecodeAdvance, output, kI32, '-', "N", "tokens of the answer so far"),
    HB_STATE(DecodeAdvance, finished, kI32, '-', "N", "0 running, 1 stop token, 2 length limit"),
    HB_STATE(DecodeAdvance, live, kI32, '-', "1", "rows that still run: N, or 0 once all have finished"),
    HB_OUT(DecodeAdvance, event, kI32, '-', "N 4",
           "token (-1 if it did not run), its index in the answer, finished, 1 if the sequence ran in this step"),
};

inline Cost decode_advance_cost(const void* args) {
  auto& a = *static_cast<const DecodeAdvance*>(args);
  return {0, 12 * bytes_of(a.token)};
}

inline constexpr Contract decode_advance_contract = contract<DecodeAdvance>(
    "decode_advance",
    "The device-side state of a decode loop: stop tokens, length limit, and what the next step reads.",
    "running: token in stop -> finished 1; else output + 1 = limit -> finished 2 (the token counts); else the token is "
    "fed next, "
    "positions, slots, visible and output grow by 1. Sequences that had finished stay as they are",
    decode_advance_operands, nullptr, decode_advance_cost);

}  // namespace hb
