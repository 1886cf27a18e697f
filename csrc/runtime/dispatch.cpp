#include "runtime/dispatch.h"

namespace hb {

namespace {

// An op that one thread finishes within some 50 us runs on the executor alone: fork and join would cost more than they
// bring. Rates of one core as measured on the bundled model's shapes; a decode step of it takes 170 us on one thread,
// 230 us when its larger ops are shared out among two.
constexpr double kFlopsPerMicrosecond = 1.0e5, kBytesPerMicrosecond = 3.0e4, kSmallMicroseconds = 50;

bool is_small(const Cost& cost) {
  return cost.flops / kFlopsPerMicrosecond + cost.bytes / kBytesPerMicrosecond < kSmallMicroseconds;
}

std::string shape_of(const Call& call) {
  std::string s;
  for (const Call::Reference& r : call.references) {
    if (!s.empty()) s += ", ";
    s += std::string(r.operand->name) + " " + describe(view_of(call.args(), *r.operand));
  }
  return s;
}

}  // namespace

Dispatcher::Dispatcher(const Backend& backend, int threads, Ring* ring, Memory* memory, Profiler* profiler)
    : backend_(backend), pool_(threads, backend.enter), ring_(ring), memory_(memory), profiler_(profiler) {}

Dispatcher::~Dispatcher() {
  if (scratch_) memory_->give(scratch_, scratch_class_);
}

Status Dispatcher::supports(const Call& call) const {
  const Kernel* kernel = backend_.kernel(call.op);
  const char* reason = kernel->run ? nullptr : "this backend has no kernel for it";
  if (!reason && kernel->supports) reason = kernel->supports(call.args());
  if (!reason) return Status::success();
  Status s =
      Status::fail(Code::NOT_SUPPORTED, std::string(call.contract->name) + " on " + backend_.device + ": " + reason);
  s.op = call.contract->name;
  return s;
}

size_t Dispatcher::workspace(const Call& call) const {
  const Kernel* kernel = backend_.kernel(call.op);
  return kernel->workspace ? kernel->workspace(call.args(), pool_.workers()) : 0;
}

Status Dispatcher::reserve(size_t bytes) {
  if (bytes <= scratch_bytes_) return Status::success();
  if (scratch_) memory_->give(scratch_, scratch_class_);
  scratch_bytes_ = 0;
  scratch_ = memory_->take(static_cast<int64_t>(bytes), &scratch_class_);
  if (!scratch_)
    return Status::fail(Code::OUT_OF_MEMORY, "no memory for " + std::to_string(bytes) + " bytes of scratch");
  scratch_bytes_ = bytes;
  return Status::success();
}

Status Dispatcher::run(const Call& call) {
  if (stopped_.load(std::memory_order_relaxed)) return Status::fail(Code::CANCELLED, "the work was cancelled");
  const Kernel* kernel = backend_.kernel(call.op);
  const Cost cost = call.live_cost();
  const bool small = is_small(cost);
  OpContext cx;
  cx.parallel = small ? static_cast<Parallel*>(&serial_) : &pool_;
  cx.verbs = backend_.verbs;
  cx.scratch = scratch_;
  cx.scratch_bytes = scratch_bytes_;
  cx.ring = ring_;
  cx.flags = &flags_;
  memory_->ops.fetch_add(1, std::memory_order_relaxed);
  if (!profiler_->on()) return kernel->run(cx, call.args());
  const int64_t start = now_ns();
  Status status = kernel->run(cx, call.args());
  const int64_t end = now_ns();
  if (!call.shape) call.shape = std::make_shared<const std::string>(shape_of(call));
  profiler_->add(
      {static_cast<int>(call.op), start, end, cost.flops, cost.bytes, small ? 1 : pool_.workers(), call.shape});
  return status;
}

}  // namespace hb
