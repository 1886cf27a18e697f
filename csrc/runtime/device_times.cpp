#include "runtime/device_times.h"

#include <algorithm>

namespace hb {

/// One op: its operands as they were, those that are copied with addresses on the host.
struct DeviceTimes::Noted {
  Profiler::Event event;
  size_t first_fence, last_fence;
  LiveCost cost;
  std::vector<uint64_t> args;
  std::vector<std::vector<int32_t>> copies;
  bool complete = true;  ///< all copies came
};

Status DeviceTimes::mark() {
  fences_.emplace_back(device_);
  return fences_.back().record();
}

Status DeviceTimes::begin(const Call& call, Transfers& transfers) {
  auto noted = std::make_shared<Noted>(Noted{{}, 0, 0, call.cost(), call.copy_of_args(), {}});
  noted->copies.resize(call.contract->operand_count);
  bool copied = false;
  for (size_t i = 0; i < call.contract->operand_count; ++i) {
    const Operand& operand = call.contract->operands[i];
    const TensorView& there = view_of(call.args(), operand);
    view_of(noted->args.data(), operand).data = nullptr;
    if (!noted->cost.reads(operand, there)) continue;
    copied = true;
    transfers.read(there.data, there.elements() * 4, [noted, i, &operand](const Status& status, const void* data) {
      TensorView& here = view_of(noted->args.data(), operand);
      noted->complete = noted->complete && status.ok();
      if (!status.ok()) return;
      const auto* p = static_cast<const int32_t*>(data);
      noted->copies[i].assign(p, p + here.elements());
      here.data = noted->copies[i].data();
    });
  }
  // what was copied is not of the op's time; without that it begins where the one before it ended
  if (copied || fences_.empty())
    if (Status s = mark(); !s.ok()) return s;
  noted->first_fence = fences_.size() - 1;
  ops_.push_back(std::move(noted));
  return Status::success();
}

Status DeviceTimes::end(const Call& call) {
  if (Status s = mark(); !s.ok()) return s;
  Noted& noted = *ops_.back();
  noted.last_fence = fences_.size() - 1;
  noted.event = {static_cast<int>(call.op), 0, 0, 0, 0, 1, call.shape, call.range, nullptr};
  return Status::success();
}

DeviceTimes::Span DeviceTimes::land(Profiler& profiler, int64_t after) {
  if (ops_.empty()) return {};
  const int64_t duration = fences_.back().since(fences_.front());
  const int64_t start = std::max(now_ns() - duration, after);
  for (const std::shared_ptr<Noted>& noted : ops_) {
    if (noted->last_fence == 0) continue;  // it was not queued
    Profiler::Event& event = noted->event;
    event.start = start + duration - fences_.back().since(fences_[noted->first_fence]);
    event.end = start + duration - fences_.back().since(fences_[noted->last_fence]);
    if (noted->complete) {
      const Cost cost = noted->cost.of(noted->args.data());
      event.flops = cost.flops, event.bytes = cost.bytes;
    }
    profiler.add(std::move(event));
  }
  return {start, start + duration};
}

}  // namespace hb
