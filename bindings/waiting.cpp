// How JavaScript waits for what a context does: it looks out itself for what is near, and is told of what is far.
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

Teller::Teller(Napi::Env env, napi_threadsafe_function_call_js call) {
  const napi_value name = Napi::String::New(env, "hyper-bagel arrival");
  if (napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, nullptr, call, &function_) !=
      napi_ok)
    throw Napi::Error::New(env, "no thread-safe function");
  napi_unref_threadsafe_function(env, function_);
}

void Teller::tell() {
  std::lock_guard lock(mutex_);
  if (function_) napi_call_threadsafe_function(function_, nullptr, napi_tsfn_nonblocking);
}

void Teller::hold(Napi::Env env, bool held) {
  if (held == held_ || !function_) return;
  held_ = held;
  held ? napi_ref_threadsafe_function(env, function_) : napi_unref_threadsafe_function(env, function_);
}

void Teller::close() {
  std::lock_guard lock(mutex_);
  // some releases of Node keep it until every thread has let go of it, others until the environment is down
  if (function_) napi_release_threadsafe_function(function_, napi_tsfn_release);
  function_ = nullptr;
}

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
    owner_->settle(Env());
    hold_while_waited(Env());
    deferred_.Resolve(Env().Undefined());
  }

 private:
  ContextObject* owner_;
  std::shared_ptr<Context> context_;
  Napi::Promise::Deferred deferred_;
};

/// newest(): the ticket of the last job that was queued.
Napi::Value ContextObject::Newest(const Napi::CallbackInfo& info) {
  require_open(info.Env());
  return ticket_value(info.Env(), context_->newest());
}

/// completed(): the ticket of the last job that is done.
Napi::Value ContextObject::Completed(const Napi::CallbackInfo& info) {
  require_open(info.Env());
  return ticket_value(info.Env(), context_->completed());
}

namespace {

uint64_t ticket_of(const Napi::Value& value) { return static_cast<uint64_t>(value.ToNumber().Int64Value()); }

Napi::Error disposed(Napi::Env env) {
  return make_error(env, Status::fail(Code::DISPOSED, "the context was disposed"));
}

}  // namespace

/// Was the context closed before the ticket's job could do its work? What it has told by then still counts.
bool ContextObject::dropped(uint64_t ticket, bool ring) const {
  if (ticket > context_->completed()) return context_->closed();
  return ticket >= context_->first_dropped() && !(ring && context_->has_records());
}

/// lookOut(ticket, records, patient): how far the end of the ticket's job is, or with `records` a record (enum
/// Distance); with `patient`, if it is near, after a moment's look out for it.
Napi::Value ContextObject::LookOut(const Napi::CallbackInfo& info) {
  const uint64_t ticket = ticket_of(info[0]);
  const bool ring = info[1].ToBoolean();
  const bool patient = info[2].ToBoolean();
  const Context::Distance distance = patient ? context_->look_out(ticket, ring) : context_->distance(ticket, ring);
  if (distance == Context::Distance::over && dropped(ticket, ring)) throw disposed(info.Env());
  return Napi::Number::New(info.Env(), static_cast<int>(distance));
}

/// approach(ticket, records): a promise that resolves once that is no longer far; undefined if it is not.
Napi::Value ContextObject::Approach(const Napi::CallbackInfo& info) {
  const uint64_t ticket = ticket_of(info[0]);
  const bool ring = info[1].ToBoolean();
  if (context_->distance(ticket, ring) != Context::Distance::far) return info.Env().Undefined();
  napi_deferred deferred;
  napi_value promise;
  if (napi_create_promise(info.Env(), &deferred, &promise) != napi_ok) throw Napi::Error::New(info.Env());
  pending_.push_back({ticket, ring, deferred});
  settle(info.Env());
  hold_while_waited(info.Env());
  return {info.Env(), promise};
}

/// receive(): what the ring holds, as {channel, at, data}.
Napi::Value ContextObject::Receive(const Napi::CallbackInfo& info) {
  Napi::Array list = Napi::Array::New(info.Env());
  for (const Record& r : context_->take_records()) {
    Napi::Object o = Napi::Object::New(info.Env());
    o.Set("channel", r.channel);
    o.Set("at", static_cast<double>(r.at) / 1e6);
    o.Set("data", to_buffer(info.Env(), r.bytes.data(), r.bytes.size()));
    list.Set(list.Length(), o);
  }
  return list;
}

/// outcome(activity): flags that kernels raised since the last call; throws the activity's first failure (without one,
/// the first failure of a job that had none).
Napi::Value ContextObject::Outcome(const Napi::CallbackInfo& info) {
  if (auto failure = context_->take_failure(activity_of(info[0]))) throw make_error(info.Env(), *failure);
  return Napi::Number::New(info.Env(), context_->take_flags());
}

/// An environment may go down at any moment: then nobody is left to be told, and what Node-API answers does not matter.
void ContextObject::settle(Napi::Env env) {
  for (bool expected = false; !expected && !pending_.empty();) {
    std::erase_if(pending_, [&](const Pending& p) {
      if (context_->distance(p.ticket, p.ring) == Context::Distance::far) return false;
      napi_resolve_deferred(env, p.deferred, env.Undefined());
      return true;
    });
    uint64_t ticket = UINT64_MAX;
    bool ring = false;
    for (const Pending& p : pending_) {
      ticket = p.ticket < ticket ? p.ticket : ticket;
      ring = ring || p.ring;
    }
    expected = context_->expect(ticket, ring);
  }
}

/// The event loop goes on while a context is waited for that the collector has not taken.
void ContextObject::hold_while_waited(Napi::Env env) {
  EnvData& data = data_of(env);
  bool waits = false;
  for (const ContextObject* c : data.contexts) waits = waits || !c->pending_.empty();
  data.teller->hold(env, waits);
}

void ContextObject::arrived(napi_env env, napi_value, void*, void*) {
  if (!env) return;
  for (ContextObject* c : data_of(env).contexts) c->settle(env);
  hold_while_waited(env);
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
