#pragma once
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ops/all.h"
#include "ops/check.h"
#include "runtime/profiler.h"
#include "runtime/storage.h"

namespace hb {

/// Shape, dtype and place of some storage: what a JavaScript handle stands for.
struct Tensor {
  TensorView view;  ///< `data` is not set: see `storage` and `offset`
  StoragePtr storage;
  int64_t offset = 0;  ///< bytes
};

/// What an op costs: bytes, and the flops of the rows that are live now (weights move however many there are). Reads
/// operands of integers, those that reads() names, where the host can. One thread at a time.
class LiveCost {
 public:
  explicit LiveCost(const Contract* contract) : contract_(contract) {
    if (!contract->live_dim || contract->costs_data) return;
    const size_t length = std::strlen(contract->live_dim);
    for (size_t i = 0; i < contract->operand_count; ++i) {
      const Operand& o = contract->operands[i];
      if (!std::strcmp(o.name, "rows")) rows_ = &o;
      if (!counted_ && !std::strncmp(o.dims, contract->live_dim, length) && (o.dims[length] == ' ' || !o.dims[length]))
        counted_ = &o;
    }
  }
  bool reads(const Operand& operand, const TensorView& view) const {
    return view && operand.role != Role::out && view.dtype == DType::i32 &&
           (contract_->costs_data || &operand == rows_);
  }
  Cost of(const void* args) const {
    if (contract_->costs_data) return contract_->cost(args);
    if (!all_rows_) all_rows_ = contract_->cost(args);
    if (!rows_ || !counted_ || !view_of(args, *rows_)) return *all_rows_;
    const int64_t n = view_of(args, *counted_).dims[0];
    if (n <= 0) return *all_rows_;
    const double share = static_cast<double>(live_rows(view_of(args, *rows_), n)) / static_cast<double>(n);
    return {all_rows_->flops * share, all_rows_->bytes};
  }

 private:
  const Contract* contract_;
  const Operand *rows_ = nullptr, *counted_ = nullptr;  ///< of the live dim
  mutable std::optional<Cost> all_rows_;
};

/// One checked op with everything that it needs to run later.
class Call {
 public:
  struct Reference {
    const Operand* operand;
    StoragePtr storage;
    int64_t offset;
  };

  explicit Call(Op op)
      : op(op), contract(kContracts[static_cast<int>(op)]), args_((contract->struct_bytes + 7) / 8), cost_(contract) {}

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

  const LiveCost& cost() const { return cost_; }
  std::vector<uint64_t> copy_of_args() const { return args_; }

  Op op;
  const Contract* contract;
  std::vector<Reference> references;
  /// Operands in words, for the profiler: made at the first profiled run, so that it costs later ones nothing.
  mutable std::shared_ptr<const std::string> shape;
  RangePtr range;  ///< in its program; null without one

 private:
  std::vector<uint64_t> args_;
  LiveCost cost_;
};

}  // namespace hb
