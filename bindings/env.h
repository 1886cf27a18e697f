#pragma once
#include <napi.h>

#include <memory>
#include <mutex>
#include <set>

#include "core/status.h"

namespace hb::node {

class ContextObject;

/// Lets other threads call a function on an environment's JavaScript thread.
class Teller {
 public:
  /// Cleanup hooks added later run while it still works.
  Teller(Napi::Env env, napi_threadsafe_function_call_js call);
  /// From any thread; nothing happens once it is closed.
  void tell();
  /// Whether the event loop goes on for it though nothing else is to do. On the JavaScript thread.
  void hold(Napi::Env env, bool held);
  /// Lets go of the function, while the environment still has it.
  void close();

 private:
  std::mutex mutex_;
  napi_threadsafe_function function_ = nullptr;
  bool held_ = false;
};

/// State of one JavaScript environment (the main thread or a worker). No globals: several may live in one process.
struct EnvData {
  Napi::FunctionReference error_class;  ///< HyperBagelError of the facade
  Napi::FunctionReference tensor, program, activity, weight_file;
  std::set<ContextObject*> contexts;  ///< open ones: closed when the environment ends
  std::shared_ptr<Teller> teller;     ///< of what the contexts' threads have done
};

inline EnvData& data_of(Napi::Env env) { return *env.GetInstanceData<EnvData>(); }

/// False once the environment is going down (the end of a worker, process.exit): promises are then nobody's.
inline bool can_run_javascript(Napi::Env env) {
  bool unused;
  return napi_has_named_property(env, env.Global(), "undefined", &unused) == napi_ok;
}

/// The only place that makes JavaScript errors: an instance of the facade's class once it is registered.
Napi::Error make_error(Napi::Env env, const Status& status);
[[noreturn]] void throw_status(Napi::Env env, const Status& status);
inline void throw_unless_ok(Napi::Env env, const Status& status) {
  if (!status.ok()) throw_status(env, status);
}
[[noreturn]] void throw_code(Napi::Env env, Code code, const std::string& message);

/// The tag of a class of this copy of the addon. Another copy in the process may be of another version, with other
/// layouts: its objects must not pass for ours, so the tag holds an address that only this copy has.
inline napi_type_tag tag_of_class(uint64_t number) {
  static const char mine = 0;
  return {reinterpret_cast<uintptr_t>(&mine), number};
}

/// Every wrapped object carries its class's tag, so that a method borrowed onto a foreign object throws instead of
/// crashing.
template <class T>
T* unwrap(const Napi::Value& value) {
  if (value.IsObject()) {
    Napi::Object o = value.As<Napi::Object>();
    if (o.CheckTypeTag(&T::kTag)) return T::Unwrap(o);
  }
  throw_code(value.Env(), Code::BAD_OPTION, std::string("expected a native ") + T::kName);
}

/// Like unwrap, but null for undefined and null.
template <class T>
T* unwrap_optional(const Napi::Value& value) {
  return value.IsUndefined() || value.IsNull() ? nullptr : unwrap<T>(value);
}

}  // namespace hb::node
