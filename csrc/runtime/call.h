#pragma once
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "ops/all.h"
#include "ops/check.h"
#include "runtime/storage.h"

namespace hb {

/// Shape, dtype and place of some storage: what a JavaScript handle stands for.
struct Tensor {
  TensorView view;  ///< `data` is not set: see `storage` and `offset`
  StoragePtr storage;
  int64_t offset = 0;  ///< bytes
};

/// One checked op with everything that it needs to run later.
class Call {
 public:
  struct Reference {
    const Operand* operand;
    StoragePtr storage;
    int64_t offset;
  };

  explicit Call(Op op) : op(op), contract(kContracts[static_cast<int>(op)]), args_((contract->struct_bytes + 7) / 8) {}

  void* args() { return args_.data(); }
  const void* args() const { return args_.data(); }

  /// Sets the views' addresses; takes memory for Out operands. Fails with OUT_OF_MEMORY.
  Status resolve() {
    for (Reference& r : references) {
      if (!r.storage->data())
        if (Status s = r.storage->allocate(); !s.ok()) return s;
      view_of(args(), *r.operand).data = static_cast<char*>(r.storage->data()) + r.offset;
    }
    return Status::success();
  }

  Op op;
  const Contract* contract;
  std::vector<Reference> references;
  /// Operands in words, for the profiler: made at the first profiled run, so that it costs later ones nothing.
  mutable std::shared_ptr<const std::string> shape;

 private:
  std::vector<uint64_t> args_;
};

}  // namespace hb
