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

Dispatcher::Dispatcher(const Backend& backend, int threads, Ring* ring, DeviceRing* device_ring,
                       std::shared_ptr<Memory> memory, std::shared_ptr<Memory> pinned, Profiler* profiler)
    : backend_(backend),
      pool_(threads, backend.enter),
      ring_(ring),
      device_ring_(device_ring),
      memory_(std::move(memory)),
      transfers_(backend.gpu, std::move(pinned)),
      profiler_(profiler) {}

Dispatcher::~Dispatcher() { close(); }

void Dispatcher::stop() {
  stopped_ = true;
  if (backend_.gpu) backend_.gpu->api().abandon(backend_.gpu->handle());
}

void Dispatcher::close() {
  pool_.stop();
  times_ = nullptr;
  transfers_.close();
  if (scratch_) memory_->give(std::exchange(scratch_, nullptr), scratch_class_);
  scratch_bytes_ = 0;
}

Dispatcher::Issued Dispatcher::end_job() {
  Issued issued = std::exchange(issued_, {});
  issued.ring_bytes = device_ring_ ? device_ring_->take_reserved() : 0;
  if (times_)  // behind the copies that it needs
    transfers_.at_landing([this, times = std::exchange(times_, nullptr)](const Status& s) {
      if (s.ok()) landed_ops_ = times->land(*profiler_, landed_until_);
    });
  issued.landings = transfers_.take_landings();
  return issued;
}

Status Dispatcher::supports(const Call& call) const {
  const char* reason = nullptr;
  if (backend_.gpu) {
    reason = call.contract->cpu_only;
    if (!reason) reason = backend_.gpu->api().supports(static_cast<int32_t>(call.op), call.args());
  } else {
    const Kernel* kernel = backend_.kernel(call.op);
    reason = kernel->run ? nullptr : "this backend has no kernel for it";
    if (!reason && kernel->supports) reason = kernel->supports(call.args());
  }
  if (!reason) return Status::success();
  Status s =
      Status::fail(Code::NOT_SUPPORTED, std::string(call.contract->name) + " on " + backend_.device + ": " + reason);
  s.op = call.contract->name;
  return s;
}

size_t Dispatcher::workspace(const Call& call) const {
  if (backend_.gpu) return backend_.gpu->api().workspace(static_cast<int32_t>(call.op), call.args());
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

Status Dispatcher::run_alone(Call& call) {
  if (Status s = call.resolve(); !s.ok()) return s;
  if (Status s = reserve(workspace(call)); !s.ok()) return s;
  if (Status s = reserve_ring(DeviceRing::bytes_of(call)); !s.ok()) return s;
  return run(call);
}

Status Dispatcher::run(const Call& call, void* scratch, size_t scratch_bytes) {
  if (stopped_.load(std::memory_order_relaxed)) return Status::fail(Code::CANCELLED, "the work was cancelled");
  memory_->ops.fetch_add(1, std::memory_order_relaxed);
  if (profiler_->on() && !call.shape) call.shape = std::make_shared<const std::string>(shape_of(call));
  return backend_.gpu ? run_there(call, scratch, scratch_bytes) : run_here(call, scratch, scratch_bytes);
}

Status Dispatcher::run_here(const Call& call, void* scratch, size_t scratch_bytes) {
  const Kernel* kernel = backend_.kernel(call.op);
  const Cost cost = call.cost().of(call.args());
  const bool small = is_small(cost);
  OpContext cx;
  cx.parallel = small ? static_cast<Parallel*>(&serial_) : &pool_;
  cx.verbs = backend_.verbs;
  cx.scratch = scratch;
  cx.scratch_bytes = scratch_bytes;
  cx.ring = ring_;
  cx.flags = &flags_;
  if (!profiler_->on()) return kernel->run(cx, call.args());
  const int64_t start = now_ns();
  Status status = kernel->run(cx, call.args());
  const int threads = small ? 1 : pool_.workers();
  profiler_->add(
      {static_cast<int>(call.op), start, now_ns(), cost.flops, cost.bytes, threads, call.shape, call.range, nullptr});
  return status;
}

Status Dispatcher::begin_capture() {
  capturing_ = true;
  return backend_.gpu->call(backend_.gpu->api().begin_capture);
}

Status Dispatcher::end_capture(void** graph) {
  capturing_ = false;
  return backend_.gpu->call(backend_.gpu->api().end_capture, graph);
}

Status Dispatcher::launch(void* graph) {
  if (stopped_.load(std::memory_order_relaxed)) return Status::fail(Code::CANCELLED, "the work was cancelled");
  return backend_.gpu->call(backend_.gpu->api().launch_graph, graph);
}

DeviceTimes::Span Dispatcher::landed(int64_t queued) {
  const DeviceTimes::Span ops = std::exchange(landed_ops_, {});
  const bool none = ops.end == 0;
  int64_t start = std::max(queued, landed_until_);
  if (!none) start = std::min(start, ops.start);
  landed_until_ = none ? std::max(start, now_ns()) : ops.end;
  return {start, landed_until_};
}

Status Dispatcher::run_there(const Call& call, void* scratch, size_t scratch_bytes) {
  const Device& device = *backend_.gpu;
  const bool profiled = profiler_->on() && !capturing_;
  if (profiled) {
    if (!times_) times_ = std::make_shared<DeviceTimes>(device);
    if (Status s = times_->begin(call, transfers_); !s.ok()) return s;
  }
  const Status status =
      device.call(device.api().run, static_cast<int32_t>(call.op), call.args(), scratch, scratch_bytes);
  return profiled && status.ok() ? times_->end(call) : status;
}

}  // namespace hb
