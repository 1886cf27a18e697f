#include <unordered_map>
#include <utility>

#include "objects.h"

namespace hb::node {

/// enterRange(name): what is queued or recorded until the leaveRange() that belongs to it is in a range of this name.
Napi::Value ContextObject::EnterRange(const Napi::CallbackInfo& info) {
  range_ = std::make_shared<const Range>(Range{info[0].ToString(), std::move(range_)});
  return info.Env().Undefined();
}

Napi::Value ContextObject::LeaveRange(const Napi::CallbackInfo& info) {
  if (range_) range_ = range_->outer;
  return info.Env().Undefined();
}

Napi::Value ContextObject::ProfileStart(const Napi::CallbackInfo& info) {
  require_open(info.Env());
  context_->profiler().start();
  return info.Env().Undefined();
}

/// profileStop(): events {op (name, or "" for a job), startNs, endNs, flops, bytes, threads, shape, range, activity}.
/// Ranges are {name, outer}, the same object for the same range; null for none.
Napi::Value ContextObject::ProfileStop(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Napi::Array list = Napi::Array::New(env), made = Napi::Array::New(env);
  std::unordered_map<const Range*, uint32_t> index;
  auto range_value = [&](auto&& self, const Range* range) -> Napi::Value {
    if (!range) return env.Null();
    const auto [it, fresh] = index.try_emplace(range, made.Length());
    if (!fresh) return made.Get(it->second);
    Napi::Object o = Napi::Object::New(env);
    made.Set(made.Length(), o);
    o.Set("name", range->name);
    o.Set("outer", self(self, range->outer.get()));
    return o;
  };
  for (const Profiler::Event& e : context_->profiler().stop()) {
    Napi::Object o = Napi::Object::New(env);
    o.Set("op", e.op < 0 ? "" : kContracts[e.op]->name);
    o.Set("startNs", static_cast<double>(e.start));
    o.Set("endNs", static_cast<double>(e.end));
    o.Set("flops", e.flops);
    o.Set("bytes", e.bytes);
    o.Set("threads", e.threads);
    o.Set("shape", e.shape ? *e.shape : std::string());
    o.Set("range", range_value(range_value, e.range.get()));
    o.Set("activity", range_value(range_value, e.activity.get()));
    list.Set(list.Length(), o);
  }
  return list;
}

}  // namespace hb::node
