// The native addon: the only place that knows Node-API.
#include <napi.h>

namespace {

// The facade refuses an addon that was built from another version of the package.
Napi::Value Version(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), HB_VERSION); }

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("version", Napi::Function::New(env, Version, "version"));
  return exports;
}

}  // namespace

NODE_API_MODULE(hyper_bagel, Init)
