#include "env.h"

namespace hb::node {

Napi::Error make_error(Napi::Env env, const Status& status) {
  EnvData& data = data_of(env);
  Napi::Object details = Napi::Object::New(env);
  auto set = [&](const char* name, const std::string& value) {
    if (!value.empty()) details.Set(name, value);
  };
  set("op", status.op);
  set("operand", status.operand);
  set("expected", status.expected);
  set("got", status.got);
  std::string message = status.message;
  if (message.empty()) message = status.operand + " must be " + status.expected + ", got " + status.got;
  if (!data.error_class.IsEmpty())
    return Napi::Error(env, data.error_class.New({Napi::String::New(env, name_of(status.code)),
                                                  Napi::String::New(env, message), details}));
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, name_of(status.code)));
  return error;
}

void throw_status(Napi::Env env, const Status& status) { throw make_error(env, status); }

void throw_code(Napi::Env env, Code code, const std::string& message) {
  throw make_error(env, Status::fail(code, message));
}

}  // namespace hb::node
