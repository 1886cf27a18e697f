#pragma once
#include <cstddef>
#include <cstdint>

#include "core/status.h"
#include "core/tensor.h"

namespace hb {

enum class Role : uint8_t { in, out, inout };
enum OperandFlag : uint8_t { kRequired = 0, kOptional = 1, kMayBePacked = 2 };

/// One operand of an op, as data.
struct Operand {
  const char* name;
  Role role;
  DTypeSet dtypes;   ///< the dtypes it accepts
  char type;         ///< type variable: operands of one op with the same letter have the same dtype; '-' for none
  const char* dims;  ///< named dims, "N D"; a number is a fixed size; "*" is any shape; names bind across operands
  size_t offset;     ///< of its TensorView in the op's struct
  uint8_t flags;
  const char* note;  ///< one sentence for docs/ops.md and the doc comment
};

enum class AttributeKind : uint8_t { integer, real, choice, dtype };

/// One attribute: baked into a recorded program. In the struct it is an int64_t (integer, choice, dtype) or a double
/// (real).
struct Attribute {
  const char* name;
  AttributeKind kind;
  size_t offset;
  double min, max;
  double fallback;      ///< default; NaN: required. For `dtype`, -1 means "the dtype of type variable T"
  const char* choices;  ///< "none|gelu_tanh|silu" for `choice`
  const char* note;
};

struct Cost {
  double flops = 0, bytes = 0;
};

/// The contract of an op: declared once in ops/<op>.h. Argument checks and their messages, the generic native call, the
/// TypeScript signature, docs/ops.md, the test sweep, the bench row and the profiler's roofline column come from it.
struct Contract {
  const char* name;     ///< snake_case
  const char* summary;  ///< one sentence
  const char* formula;  ///< plain text, with its source where it has one
  const Operand* operands;
  size_t operand_count;
  const Attribute* attributes;
  size_t attribute_count;
  size_t struct_bytes;
  /// Called when names are bound, dtypes checked and Out dims that names determine are set: sets what names cannot say
  /// (dims of Out operands) and checks what names cannot check. May be null.
  Status (*rules)(void* args);
  /// Of all rows, by dims alone, unless `costs_data` says otherwise.
  Cost (*cost)(const void* args);
  /// The live dim: rows at or beyond the count in operand `rows` are neither read nor written. Null when there is none.
  const char* live_dim;
  /// `cost` reads what operands of i32 hold, and counts the live rows itself. On a device they are copied for it.
  bool costs_data = false;
  /// Why no other backend will have it, or null: every backend should. docs/ops.md prints it.
  const char* cpu_only = nullptr;
};

#define HB_AT(type, member) offsetof(type, member)

/// Reads the live row count: `rows` clamped to [0, n], or n when the operand is absent.
inline int64_t live_rows(const TensorView& rows, int64_t n) {
  if (!rows) return n;
  const int64_t r = *rows.as<const int32_t>();
  return r < 0 ? 0 : r > n ? n : r;
}

/// First row of the second expert: `split` clamped to [0, n], or n when the operand is absent.
inline int64_t split_row(const TensorView& split, int64_t n) { return live_rows(split, n); }

inline double bytes_of(const TensorView& t) {
  return t ? static_cast<double>(t.elements()) * static_cast<double>(bytes_of(t.dtype)) : 0.0;
}

}  // namespace hb
