#pragma once
#include "core/op_context.h"
#include "ops/all.h"

namespace hb {

/// How a backend runs one op. A table entry without `run` means "not here".
struct Kernel {
  Status (*run)(const OpContext& cx, const void* args) = nullptr;
  /// Scratch bytes that `run` needs with this many workers; null: none.
  size_t (*workspace)(const void* args, int workers) = nullptr;
  /// The reason why `run` cannot take these arguments, or null; null pointer: it takes all that the contract allows.
  const char* (*supports)(const void* args) = nullptr;
};

/// Makes a typed kernel function fit the table.
template <class X, Status (*F)(const OpContext&, const X&)>
Status run_as(const OpContext& cx, const void* args) {
  return F(cx, *static_cast<const X*>(args));
}
template <class X, size_t (*F)(const X&, int)>
size_t workspace_as(const void* args, int workers) {
  return F(*static_cast<const X*>(args), workers);
}

}  // namespace hb
