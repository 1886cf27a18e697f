// Promises of a context: they wait on one libuv thread, however many there are.
#include "objects.h"

namespace hb::node {

ActivityPtr activity_of(const Napi::Value& value) {
  ActivityObject* a = unwrap_optional<ActivityObject>(value);
  return a ? a->activity : nullptr;
}

Napi::Value ticket_value(Napi::Env env, uint64_t ticket) { return Napi::Number::New(env, static_cast<double>(ticket)); }

Napi::Value to_buffer(Napi::Env env, const void* data, size_t bytes) {
  Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(env, bytes);
  if (bytes) std::memcpy(buffer.Data(), data, bytes);
  return buffer;
}

/// Blocks on a libuv thread until the next pending promise can be settled. An environment that goes down waits for its
/// libuv work before it runs cleanup hooks, so a wait is short and starts anew only while JavaScript can run.
class ContextObject::Waiter : public Napi::AsyncWorker {
 public:
  Waiter(Napi::Env env, ContextObject* owner, uint64_t ticket, bool ring)
      : AsyncWorker(env, "hyper-bagel wait"), owner_(owner), context_(owner->context_), ticket_(ticket), ring_(ring) {
    owner_->Ref();
  }
  ~Waiter() override { owner_->Unref(); }
  void Execute() override { context_->wait(ticket_, ring_); }
  void OnOK() override {
    owner_->waiting_ = false;
    if (can_run_javascript(Env())) owner_->settle(Env());
  }

 private:
  ContextObject* owner_;
  std::shared_ptr<Context> context_;
  uint64_t ticket_;
  bool ring_;
};

/// Closes on a libuv thread: the executor may be in the middle of an op.
class ContextObject::Closer : public Napi::AsyncWorker {
 public:
  Closer(Napi::Env env, ContextObject* owner)
      : AsyncWorker(env, "hyper-bagel close"), owner_(owner), context_(owner->context_), deferred_(env) {
    owner_->Ref();
  }
  ~Closer() override { owner_->Unref(); }
  Napi::Promise promise() const { return deferred_.Promise(); }
  void Execute() override { context_->close(); }
  void OnOK() override {
    data_of(Env()).contexts.erase(owner_);
    if (!can_run_javascript(Env())) return;
    if (!owner_->waiting_) owner_->settle(Env());
    deferred_.Resolve(Env().Undefined());
  }

 private:
  ContextObject* owner_;
  std::shared_ptr<Context> context_;
  Napi::Promise::Deferred deferred_;
};

/// wait(activity): resolves once all that was queued before is done; rejects with the activity's first failure (without
/// one, with the first failure of a job that had none).
Napi::Value ContextObject::Wait(const Napi::CallbackInfo& info) {
  require_open(info.Env());
  ActivityPtr activity = activity_of(info[0]);
  return wait(info.Env(), context_->newest(), false, [this, activity](Napi::Env e, Napi::Promise::Deferred& deferred) {
    if (auto failure = context_->take_failure(activity))
      deferred.Reject(make_error(e, *failure).Value());
    else
      deferred.Resolve(Napi::Number::New(e, context_->take_flags()));
  });
}

/// receive(ticket): the ring's records as {channel, at, data}; waits for at least one, or for the ticket's job.
Napi::Value ContextObject::Receive(const Napi::CallbackInfo& info) {
  require_open(info.Env());
  const uint64_t ticket = static_cast<uint64_t>(info[0].ToNumber().Int64Value());
  return wait(info.Env(), ticket, true, [this](Napi::Env e, Napi::Promise::Deferred& deferred) {
    Napi::Array list = Napi::Array::New(e);
    for (const Record& r : context_->take_records()) {
      Napi::Object o = Napi::Object::New(e);
      o.Set("channel", r.channel);
      o.Set("at", static_cast<double>(r.at) / 1e6);
      o.Set("data", to_buffer(e, r.bytes.data(), r.bytes.size()));
      list.Set(list.Length(), o);
    }
    deferred.Resolve(list);
  });
}

/// completed(): the ticket of the last job that is done.
Napi::Value ContextObject::Completed(const Napi::CallbackInfo& info) {
  return ticket_value(info.Env(), context_->completed());
}

Napi::Value ContextObject::wait(Napi::Env env, uint64_t ticket, bool ring,
                                std::function<void(Napi::Env, Napi::Promise::Deferred&)> settle) {
  pending_.push_back({ticket, ring, Napi::Promise::Deferred::New(env), std::move(settle)});
  Napi::Promise promise = pending_.back().deferred.Promise();
  if (waiting_)
    context_->nudge();  // the waiting thread comes back and is told about this one too
  else
    start_waiter(env);
  return promise;
}

void ContextObject::start_waiter(Napi::Env env) {
  uint64_t ticket = UINT64_MAX;
  bool ring = false;
  for (const Pending& p : pending_) {
    ticket = p.ticket < ticket ? p.ticket : ticket;
    ring = ring || p.ring;
  }
  waiting_ = true;
  (new Waiter(env, this, ticket, ring))->Queue();
}

void ContextObject::settle(Napi::Env env) {
  const uint64_t completed = context_->completed(), dropped = context_->first_dropped();
  const bool records = context_->has_records(), closed = context_->closed();
  std::vector<Pending> ready;
  for (size_t i = 0; i < pending_.size();) {
    Pending& p = pending_[i];
    if (p.ticket <= completed || (p.ring && records) || closed) {
      ready.push_back(std::move(p));
      pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
  for (Pending& p : ready) {
    if ((p.ticket > completed && closed) || (p.ticket >= dropped && !(p.ring && records)))
      p.deferred.Reject(make_error(env, Status::fail(Code::DISPOSED, "the context was disposed")).Value());
    else
      p.settle(env, p.deferred);
  }
  if (!pending_.empty() && !waiting_) start_waiter(env);
}

/// close(): a promise that resolves once the executor is joined. Idempotent.
Napi::Value ContextObject::Close(const Napi::CallbackInfo& info) {
  closing_ = true;
  auto* closer = new Closer(info.Env(), this);
  Napi::Promise promise = closer->promise();
  closer->Queue();
  return promise;
}

}  // namespace hb::node
