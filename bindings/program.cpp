#include "objects.h"

namespace hb::node {

Napi::Function ProgramObject::define(Napi::Env env) {
  return DefineClass(
      env, "NativeProgram",
      {InstanceMethod<&ProgramObject::Dispose>("dispose"), InstanceMethod<&ProgramObject::Describe>("describe")});
}

ProgramObject::ProgramObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  info.This().As<Napi::Object>().TypeTag(&kTag);
}

Napi::Object ProgramObject::make(Napi::Env env, std::shared_ptr<Program> program, Context* owner) {
  Napi::Object object = data_of(env).program.New({});
  Unwrap(object)->program_ = std::move(program);
  Unwrap(object)->owner_ = owner;
  return object;
}

std::shared_ptr<Program> ProgramObject::get(Context* context) const {
  if (!program_) throw_code(Env(), Code::DISPOSED, "the program was disposed");
  if (owner_ != context) throw_code(Env(), Code::BAD_DEVICE, "the program belongs to another context");
  return program_;
}

Napi::Value ProgramObject::Dispose(const Napi::CallbackInfo& info) {
  program_.reset();
  return info.Env().Undefined();
}

/// {ops, arenaBytes, unplannedBytes}
Napi::Value ProgramObject::Describe(const Napi::CallbackInfo& info) {
  if (!program_) throw_code(info.Env(), Code::DISPOSED, "the program was disposed");
  Napi::Object o = Napi::Object::New(info.Env());
  o.Set("ops", static_cast<double>(program_->size()));
  o.Set("arenaBytes", static_cast<double>(program_->arena_bytes()));
  o.Set("unplannedBytes", static_cast<double>(program_->unplanned_bytes()));
  return o;
}

Napi::Function ActivityObject::define(Napi::Env env) {
  return DefineClass(env, "NativeActivity", {InstanceMethod<&ActivityObject::Cancel>("cancel")});
}

/// new NativeActivity(name): the name is for the profiler.
ActivityObject::ActivityObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  info.This().As<Napi::Object>().TypeTag(&kTag);
  if (info[0].IsString()) activity->range = std::make_shared<const Range>(Range{info[0].As<Napi::String>(), nullptr});
}

Napi::Value ActivityObject::Cancel(const Napi::CallbackInfo& info) {
  activity->cancelled = true;
  return info.Env().Undefined();
}

Napi::Function WeightFileObject::define(Napi::Env env) {
  return DefineClass(
      env, "NativeWeightFile",
      {InstanceAccessor<&WeightFileObject::GetBytes>("bytes"), InstanceMethod<&WeightFileObject::Dispose>("dispose")});
}

WeightFileObject::WeightFileObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  info.This().As<Napi::Object>().TypeTag(&kTag);
  if (!info[0].IsString()) throw_code(info.Env(), Code::BAD_OPTION, "a weight file wants a path");
  throw_unless_ok(info.Env(), WeightFile::open(info[0].As<Napi::String>(), &file_));
}

std::shared_ptr<WeightFile> WeightFileObject::get() const {
  if (!file_) throw_code(Env(), Code::DISPOSED, "the weight file was disposed");
  return file_;
}

Napi::Value WeightFileObject::GetBytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(get()->bytes()));
}

Napi::Value WeightFileObject::Dispose(const Napi::CallbackInfo& info) {
  file_.reset();
  return info.Env().Undefined();
}

}  // namespace hb::node
