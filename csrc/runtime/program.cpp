#include "runtime/program.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace hb {

namespace {

/// An intermediate: alive from the op that writes it to the last op that names it.
struct Interval {
  Storage* storage;
  size_t first, last;
  int64_t bytes, offset = 0;
};

/// First fit, largest first: no two intervals that overlap in time overlap in the arena.
int64_t plan(std::vector<Interval>& intervals) {
  std::vector<Interval*> order;
  for (Interval& i : intervals) order.push_back(&i);
  std::stable_sort(order.begin(), order.end(),
                   [](const Interval* a, const Interval* b) { return a->bytes > b->bytes; });
  std::vector<Interval*> placed;
  int64_t total = 0;
  for (Interval* i : order) {
    std::vector<Interval*> rivals;
    for (Interval* p : placed)
      if (p->first <= i->last && i->first <= p->last) rivals.push_back(p);
    std::sort(rivals.begin(), rivals.end(), [](const Interval* a, const Interval* b) { return a->offset < b->offset; });
    for (const Interval* r : rivals) {
      if (i->offset + i->bytes <= r->offset) break;
      i->offset = std::max(i->offset, r->offset + r->bytes);
    }
    placed.push_back(i);
    total = std::max(total, i->offset + i->bytes);
  }
  return total;
}

/// What calls read that is not their own, in the order in which they do.
std::vector<Storage*> inputs_of(const std::vector<Call>& calls) {
  std::vector<Storage*> inputs;
  std::unordered_set<Storage*> known;
  for (const Call& call : calls)
    for (const Call::Reference& r : call.references)
      if (r.operand->role == Role::in && !r.storage->transient && known.insert(r.storage.get()).second)
        inputs.push_back(r.storage.get());
  return inputs;
}

}  // namespace

Status Program::create(std::vector<Call> calls, std::vector<StoragePtr> outputs, std::shared_ptr<Memory> memory,
                       const Dispatcher& dispatcher, std::shared_ptr<Program>* program) {
  std::shared_ptr<Program> p(new Program());
  p->calls_ = std::move(calls);
  p->outputs_ = std::move(outputs);
  p->memory_ = std::move(memory);
  p->device_ = dispatcher.backend().gpu;
  for (const StoragePtr& s : p->outputs_) s->transient = false;
  p->inputs_ = inputs_of(p->calls_);

  std::vector<Interval> intervals;
  std::unordered_map<Storage*, size_t> index;
  for (size_t i = 0; i < p->calls_.size(); ++i) {
    for (const Call::Reference& r : p->calls_[i].references) {
      Storage* s = r.storage.get();
      if (!s->transient) continue;
      auto [it, fresh] = index.try_emplace(s, intervals.size());
      // room for kernels that read a full vector at the end, as in Memory; devices want it by whole lines
      const int64_t line = p->device_ ? 256 : 64;
      if (fresh) intervals.push_back({s, i, i, (s->bytes() + 64 + line - 1) / line * line});
      intervals[it->second].last = i;
    }
    p->workspace_ = std::max(p->workspace_, dispatcher.workspace(p->calls_[i]));
    p->ring_bytes_ += DeviceRing::bytes_of(p->calls_[i]);
  }
  const int64_t tensors = plan(intervals);
  p->arena_bytes_ = tensors + (p->device_ ? static_cast<int64_t>(p->workspace_) : 0);
  for (const Interval& i : intervals) p->unplanned_bytes_ += i.bytes;
  if (p->arena_bytes_ > 0) {
    p->arena_ = p->memory_->take(p->arena_bytes_, &p->arena_class_);
    if (!p->arena_)
      return Status::fail(Code::OUT_OF_MEMORY,
                          "no memory for a program's arena of " + std::to_string(p->arena_bytes_) + " bytes");
    for (const Interval& i : intervals) i.storage->place(static_cast<char*>(p->arena_) + i.offset);
  }
  if (p->device_ && p->workspace_ > 0) p->scratch_ = static_cast<char*>(p->arena_) + tensors;
  for (const StoragePtr& s : p->outputs_)
    if (Status status = s->allocate(); !status.ok()) return status;
  p->memory_->recordings++;
  *program = std::move(p);
  return Status::success();
}

Program::~Program() {
  if (graph_) device_->destroy(graph_);
  if (arena_) memory_->give(arena_, arena_class_);
}

/// Captured tensors have their memory by the first run: whatever wrote them was queued earlier.
Status Program::resolve(Dispatcher& dispatcher) {
  if (resolved_) return Status::success();
  if (!device_)
    if (Status s = dispatcher.reserve(workspace_); !s.ok()) return s;
  for (Call& call : calls_)
    if (Status s = call.resolve(); !s.ok()) return s;
  resolved_ = true;
  return Status::success();
}

Status Program::run(Dispatcher& dispatcher, const ActivityPtr& activity) {
  memory_->runs.fetch_add(1, std::memory_order_relaxed);
  if (Status s = resolve(dispatcher); !s.ok()) return s;
  for (const StoragePtr& s : outputs_) s->failure = nullptr;  // of a run that failed or was cancelled
  for (const Storage* s : inputs_)
    if (s->failure) return *s->failure;
  if (!device_) return run_calls(dispatcher, activity);
  dispatcher.mark_program();
  dispatcher.transfers().at_landing([self = shared_from_this()](const Status&) {});  // its graph is at work
  if (Status s = dispatcher.reserve_ring(ring_bytes_); !s.ok()) return s;
  return dispatcher.profiling() ? run_calls(dispatcher, activity) : run_graph(dispatcher);
}

Status Program::run_calls(Dispatcher& dispatcher, const ActivityPtr& activity) {
  for (const Call& call : calls_) {
    if (activity && activity->cancelled.load(std::memory_order_relaxed))
      return Status::fail(Code::CANCELLED, "the work was cancelled");
    if (Status s = device_ ? dispatcher.run(call, scratch_, workspace_) : dispatcher.run(call); !s.ok()) return s;
  }
  return Status::success();
}

Status Program::run_graph(Dispatcher& dispatcher) {
  if (!graph_) {
    if (Status s = capture(dispatcher); !s.ok()) return s;
  } else {
    memory_->ops.fetch_add(static_cast<int64_t>(calls_.size()), std::memory_order_relaxed);
  }
  return dispatcher.launch(graph_);
}

Status Program::capture(Dispatcher& dispatcher) {
  if (Status s = dispatcher.begin_capture(); !s.ok()) return s;
  Status status = Status::success();
  for (const Call& call : calls_)
    if (status = dispatcher.run(call, scratch_, workspace_); !status.ok()) break;
  void* graph = nullptr;
  const Status end = dispatcher.end_capture(&graph);
  if (!status.ok() || !end.ok()) {
    if (graph) device_->destroy(graph);
    return status.ok() ? end : status;
  }
  graph_ = graph;
  return Status::success();
}

}  // namespace hb
