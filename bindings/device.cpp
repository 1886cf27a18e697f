#include "env.h"
#include "objects.h"
#include "runtime/registry.h"

namespace hb::node {

namespace {

/// Loads a device's library and asks it on a libuv thread: a driver may take its time to start.
class Probe : public Napi::AsyncWorker {
 public:
  Probe(Napi::Env env, std::string device)
      : AsyncWorker(env, "hyper-bagel probe"), device_(std::move(device)), deferred_(env) {}
  Napi::Promise promise() const { return deferred_.Promise(); }
  void Execute() override { status_ = hb::probe_device(device_, &info_); }
  void OnOK() override {
    Napi::Env env = Env();
    if (!can_run_javascript(env)) return;
    if (!status_.ok()) return deferred_.Reject(make_error(env, status_).Value());
    Napi::Object o = Napi::Object::New(env);
    o.Set("name", info_.name);
    o.Set("driver", info_.driver);
    o.Set("required", info_.required);
    o.Set("count", info_.count);
    o.Set("arch", info_.arch);
    o.Set("processors", info_.processors);
    o.Set("memoryBytes", static_cast<double>(info_.memory_bytes));
    deferred_.Resolve(o);
  }

 private:
  const std::string device_;
  Napi::Promise::Deferred deferred_;
  Status status_;
  DeviceInfo info_{};
};

}  // namespace

/// probeDevice(name): a promise of {name, driver, required, count, arch, processors, memoryBytes}; rejects with
/// BACKEND_MISSING, and the reason, when it is not there.
Napi::Value probe_device(const Napi::CallbackInfo& info) {
  if (!info[0].IsString()) throw_code(info.Env(), Code::BAD_OPTION, "probeDevice wants the name of a device");
  auto* worker = new Probe(info.Env(), info[0].As<Napi::String>());
  Napi::Promise promise = worker->promise();
  worker->Queue();
  return promise;
}

}  // namespace hb::node
