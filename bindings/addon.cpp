// The native addon: bindings/ is the only place that knows Node-API.
#include "objects.h"
#include "runtime/cgroup.h"

namespace hb::node {
namespace {

// The facade refuses an addon that was built from another version of the package.
Napi::Value version(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), HB_VERSION); }

Napi::Value register_error_class(const Napi::CallbackInfo& info) {
  data_of(info.Env()).error_class = Napi::Persistent(info[0].As<Napi::Function>());
  return info.Env().Undefined();
}

Napi::Value instruction_sets(const Napi::CallbackInfo& info) {
  Napi::Array list = Napi::Array::New(info.Env());
  for (const IsaInfo& isa : hb::instruction_sets()) {
    Napi::Object o = Napi::Object::New(info.Env());
    o.Set("name", isa.name);
    o.Set("available", isa.available);
    o.Set("model", isa.model);
    list.Set(list.Length(), o);
  }
  return list;
}

/// A folder that stands for "/"; none: the system's own.
std::string root_of(const Napi::Value& value) {
  return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
}

Napi::Value usable_threads(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), hb::usable_threads(root_of(info[0])));
}

/// cgroupLimits(root): {cpus, memory, available}; null: no limit.
Napi::Value cgroup_limits(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const CgroupLimits limits = hb::cgroup_limits(root_of(info[0]));
  Napi::Object o = Napi::Object::New(env);
  auto set = [&](const char* name, double value, bool limited) {
    o.Set(name, limited ? Napi::Value(Napi::Number::New(env, value)) : env.Null());
  };
  set("cpus", limits.cpus, limits.cpus > 0);
  set("memory", static_cast<double>(limits.memory), limits.memory >= 0);
  set("available", static_cast<double>(limits.available), limits.available >= 0);
  return o;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* data = new EnvData();
  env.SetInstanceData(data);
  data->teller = std::make_shared<Teller>(env, ContextObject::arrived);
  // Executors are joined while the environment still stands; promises nobody will settle are dropped.
  env.AddCleanupHook(
      [](EnvData* d) {
        for (ContextObject* c : d->contexts) c->close();
        d->contexts.clear();
        d->teller->close();
      },
      data);
  auto add = [&](const char* name, Napi::Function f, Napi::FunctionReference& reference) {
    reference = Napi::Persistent(f);
    exports.Set(name, f);
  };
  add("NativeTensor", TensorObject::define(env), data->tensor);
  add("NativeProgram", ProgramObject::define(env), data->program);
  add("NativeActivity", ActivityObject::define(env), data->activity);
  add("NativeWeightFile", WeightFileObject::define(env), data->weight_file);
  exports.Set("NativeContext", ContextObject::define(env));
  exports.Set("version", Napi::Function::New(env, version, "version"));
  exports.Set("describe", Napi::Function::New(env, describe_contracts, "describe"));
  exports.Set("registerErrorClass", Napi::Function::New(env, register_error_class, "registerErrorClass"));
  exports.Set("instructionSets", Napi::Function::New(env, instruction_sets, "instructionSets"));
  exports.Set("measureRoofline", Napi::Function::New(env, measure_roofline, "measureRoofline"));
  exports.Set("probeDevice", Napi::Function::New(env, probe_device, "probeDevice"));
  exports.Set("cgroupLimits", Napi::Function::New(env, cgroup_limits, "cgroupLimits"));
  exports.Set("usableThreads", Napi::Function::New(env, usable_threads, "usableThreads"));
  return exports;
}

}  // namespace
}  // namespace hb::node

static Napi::Object Init(Napi::Env env, Napi::Object exports) { return hb::node::init(env, exports); }
NODE_API_MODULE(hyper_bagel, Init)
