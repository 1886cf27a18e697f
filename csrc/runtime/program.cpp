#include "runtime/program.h"

#include <algorithm>
#include <unordered_map>

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

}  // namespace

Status Program::create(std::vector<Call> calls, std::vector<StoragePtr> outputs, std::shared_ptr<Memory> memory,
                       const Dispatcher& dispatcher, std::shared_ptr<Program>* program) {
  std::shared_ptr<Program> p(new Program());
  p->calls_ = std::move(calls);
  p->outputs_ = std::move(outputs);
  p->memory_ = std::move(memory);
  for (const StoragePtr& s : p->outputs_) s->transient = false;

  std::vector<Interval> intervals;
  std::unordered_map<Storage*, size_t> index;
  for (size_t i = 0; i < p->calls_.size(); ++i) {
    for (const Call::Reference& r : p->calls_[i].references) {
      Storage* s = r.storage.get();
      if (!s->transient) continue;
      auto [it, fresh] = index.try_emplace(s, intervals.size());
      // room for kernels that read a full vector at the end, as in Memory
      if (fresh) intervals.push_back({s, i, i, (s->bytes() + 127) / 64 * 64});
      intervals[it->second].last = i;
    }
    p->workspace_ = std::max(p->workspace_, dispatcher.workspace(p->calls_[i]));
  }
  p->arena_bytes_ = plan(intervals);
  for (const Interval& i : intervals) p->unplanned_bytes_ += i.bytes;
  if (p->arena_bytes_ > 0) {
    p->arena_ = p->memory_->take(p->arena_bytes_, &p->arena_class_);
    if (!p->arena_)
      return Status::fail(Code::OUT_OF_MEMORY,
                          "no memory for a program's arena of " + std::to_string(p->arena_bytes_) + " bytes");
    for (const Interval& i : intervals) i.storage->place(static_cast<char*>(p->arena_) + i.offset);
  }
  for (const StoragePtr& s : p->outputs_)
    if (Status status = s->allocate(); !status.ok()) return status;
  p->memory_->recordings++;
  *program = std::move(p);
  return Status::success();
}

Program::~Program() {
  if (arena_) memory_->give(arena_, arena_class_);
}

Status Program::run(Dispatcher& dispatcher, const ActivityPtr& activity) {
  memory_->runs.fetch_add(1, std::memory_order_relaxed);
  if (!resolved_) {  // captured tensors have their memory by now: whatever wrote them was queued earlier
    if (Status s = dispatcher.reserve(workspace_); !s.ok()) return s;
    for (Call& call : calls_)
      if (Status s = call.resolve(); !s.ok()) return s;
    resolved_ = true;
  }
  for (const StoragePtr& s : outputs_) s->failure = nullptr;  // of a run that failed or was cancelled
  for (const Call& call : calls_) {
    if (activity && activity->cancelled.load(std::memory_order_relaxed))
      return Status::fail(Code::CANCELLED, "the work was cancelled");
    for (const Call::Reference& r : call.references)
      if (r.storage->failure && r.operand->role == Role::in && !r.storage->transient) return *r.storage->failure;
    if (Status s = dispatcher.run(call); !s.ok()) return s;
  }
  return Status::success();
}

}  // namespace hb
