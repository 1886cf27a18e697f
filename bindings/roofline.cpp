#include "cpu/roofline.h"

#include <cmath>

#include "env.h"
#include "objects.h"
#include "runtime/registry.h"

namespace hb::node {

namespace {

/// Measures on a libuv thread and threads of its own: nothing of it touches JavaScript.
class Measurement : public Napi::AsyncWorker {
 public:
  Measurement(Napi::Env env, std::string isa, int threads, double memory_limit)
      : AsyncWorker(env, "hyper-bagel roofline"),
        isa_(std::move(isa)),
        threads_(threads),
        memory_limit_(memory_limit),
        deferred_(env) {}
  Napi::Promise promise() const { return deferred_.Promise(); }
  void Execute() override {
    try {
      status_ = cpu::measure_roofline(isa_, threads_, memory_limit_, &roofline_);
    } catch (const std::exception& e) {  // std::thread reports a system without threads this way
      status_ = Status::fail(Code::OUT_OF_MEMORY,
                             std::string("cannot measure on ") + std::to_string(threads_) + " threads: " + e.what());
    }
  }
  void OnOK() override {
    Napi::Env env = Env();
    if (!can_run_javascript(env)) return;
    if (!status_.ok()) return deferred_.Reject(make_error(env, status_).Value());
    Napi::Object o = Napi::Object::New(env);
    auto rates = [&](const char* name, const cpu::Rates& r) {
      Napi::Object pair = Napi::Object::New(env);
      pair.Set("one", r.one);
      pair.Set("all", r.all);
      o.Set(name, pair);
    };
    o.Set("isa", roofline_.isa);
    o.Set("threads", roofline_.threads);
    rates("f32Flops", roofline_.f32_flops);
    rates("dotFlops", roofline_.dot_flops);
    rates("l2BytesPerSecond", roofline_.l2_bytes);
    rates("memoryBytesPerSecond", roofline_.memory_bytes);
    o.Set("l2Buffer", roofline_.l2_buffer);
    o.Set("memoryBuffer", roofline_.memory_buffer);
    o.Set("cacheBytes", roofline_.cache);
    o.Set("seconds", roofline_.seconds);
    deferred_.Resolve(o);
  }

 private:
  const std::string isa_;
  const int threads_;
  const double memory_limit_;
  Napi::Promise::Deferred deferred_;
  Status status_ = Status::success();
  cpu::Roofline roofline_;
};

}  // namespace

/// measureRoofline(isa, threads, memoryLimit): a promise; empty isa: the best, 0 threads: all.
Napi::Value measure_roofline(const Napi::CallbackInfo& info) {
  const double threads = info[1].IsNumber() ? info[1].As<Napi::Number>().DoubleValue() : -1;
  const double limit = info[2].IsNumber() ? info[2].As<Napi::Number>().DoubleValue() : -1;
  if (!info[0].IsString() || !(threads >= 0 && threads <= 256 && threads == std::floor(threads)) || !(limit >= 0))
    throw_code(info.Env(), Code::BAD_OPTION,
               "measureRoofline wants an instruction set, 0 to 256 threads and a limit in bytes");
  const int count = threads > 0 ? static_cast<int>(threads) : hb::usable_threads();
  auto* worker = new Measurement(info.Env(), info[0].As<Napi::String>(), count, limit);
  Napi::Promise promise = worker->promise();
  worker->Queue();
  return promise;
}

}  // namespace hb::node
