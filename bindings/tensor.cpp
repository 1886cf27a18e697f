#include "objects.h"

namespace hb::node {

Status read_shape(const Napi::Value& value, TensorView* view) {
  if (!value.IsArray()) return Status::mismatch(Code::BAD_SHAPE, "shape", "an array of sizes", "something else");
  Napi::Array array = value.As<Napi::Array>();
  if (array.Length() > static_cast<uint32_t>(kMaxRank))
    return Status::mismatch(Code::BAD_SHAPE, "shape", "at most " + std::to_string(kMaxRank) + " dims",
                            std::to_string(array.Length()));
  view->rank = static_cast<int32_t>(array.Length());
  double elements = 1;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    Napi::Value v = array.Get(i);
    const double size = v.IsNumber() ? v.As<Napi::Number>().DoubleValue() : -1;
    if (!(size >= 0 && size <= 9e15) || size != static_cast<double>(static_cast<int64_t>(size)))
      return Status::mismatch(Code::BAD_SHAPE, "shape", "sizes that are non-negative integers",
                              "dim " + std::to_string(i) + " is not");
    view->dims[i] = static_cast<int64_t>(size);
    elements *= size > 1 ? size : 1;  // a dim of 0 must not hide that the product of the others overflows
  }
  if (elements > 1e15) return Status::mismatch(Code::BAD_SHAPE, "shape", "at most 1e15 elements", "more");
  return Status::success();
}

Napi::Function TensorObject::define(Napi::Env env) {
  return DefineClass(
      env, "NativeTensor",
      {InstanceMethod<&TensorObject::Dispose>("dispose"), InstanceMethod<&TensorObject::View>("view"),
       InstanceAccessor<&TensorObject::GetDisposed>("disposed"), InstanceAccessor<&TensorObject::GetDtype>("dtype"),
       InstanceAccessor<&TensorObject::GetShape>("shape"), InstanceAccessor<&TensorObject::GetPacked>("packed"),
       InstanceAccessor<&TensorObject::GetBytes>("bytes")});
}

TensorObject::TensorObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  info.This().As<Napi::Object>().TypeTag(&kTag);
}

Napi::Object TensorObject::make(Napi::Env env, Tensor tensor, Context* owner, bool external) {
  Napi::Object object = data_of(env).tensor.New({});
  TensorObject* self = Unwrap(object);
  self->tensor_ = std::move(tensor);
  self->tensor_.view.present = true;
  self->owner_ = owner;
  if (external) {
    self->reported_ = self->tensor_.storage->bytes();
    Napi::MemoryManagement::AdjustExternalMemory(env, self->reported_);
  }
  return object;
}

void TensorObject::release() {
  tensor_.storage.reset();
  if (reported_) Napi::MemoryManagement::AdjustExternalMemory(Env(), -reported_);
  reported_ = 0;
}

const Tensor& TensorObject::get() const {
  if (!tensor_.storage) throw_code(Env(), Code::DISPOSED, "the tensor was disposed");
  return tensor_;
}

const Tensor& TensorObject::get(Context* context, const char* operand) const {
  if (tensor_.storage && owner_ == context) return tensor_;
  Status s = tensor_.storage
                 ? Status::mismatch(Code::BAD_DEVICE, operand, "a tensor of this context", "one of another context")
                 : Status::mismatch(Code::DISPOSED, operand, "a live tensor", "a disposed one");
  throw_status(Env(), s);
}

Napi::Value TensorObject::Dispose(const Napi::CallbackInfo& info) {
  release();
  return info.Env().Undefined();
}

/// view(shape, byteOffset): another handle on part of the same storage, plain layout only.
Napi::Value TensorObject::View(const Napi::CallbackInfo& info) {
  const Tensor& t = get();
  if (t.view.layout != Layout::plain) throw_code(info.Env(), Code::NOT_SUPPORTED, "a packed weight has no views");
  Tensor v{};
  v.view.dtype = t.view.dtype;
  throw_unless_ok(info.Env(), read_shape(info[0], &v.view));
  const double offset = info[1].IsNumber() ? info[1].As<Napi::Number>().DoubleValue() : -1;
  const double bytes = static_cast<double>(storage_bytes(t.view));
  if (!(offset >= 0) || offset + static_cast<double>(storage_bytes(v.view)) > bytes ||
      static_cast<int64_t>(offset) % static_cast<int64_t>(bytes_of(t.view.dtype)) != 0)
    throw_status(info.Env(),
                 Status::mismatch(Code::BAD_SHAPE, "shape", "a part of " + hb::describe(t.view), hb::describe(v.view)));
  v.storage = t.storage;
  v.offset = t.offset + static_cast<int64_t>(offset);
  return make(info.Env(), std::move(v), owner_, false);
}

Napi::Value TensorObject::GetDisposed(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), !tensor_.storage);
}
Napi::Value TensorObject::GetDtype(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<int>(tensor_.view.dtype));
}
Napi::Value TensorObject::GetShape(const Napi::CallbackInfo& info) {
  Napi::Array shape = Napi::Array::New(info.Env(), static_cast<size_t>(tensor_.view.rank));
  for (int i = 0; i < tensor_.view.rank; ++i)
    shape.Set(static_cast<uint32_t>(i), Napi::Number::New(info.Env(), static_cast<double>(tensor_.view.dims[i])));
  return shape;
}
Napi::Value TensorObject::GetPacked(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), tensor_.view.layout == Layout::packed);
}
Napi::Value TensorObject::GetBytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(storage_bytes(tensor_.view)));
}

}  // namespace hb::node
