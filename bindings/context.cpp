#include <cmath>
#include <utility>

#include "objects.h"

namespace hb::node {

namespace {

/// Fills the attributes of a call from an array in contract order; undefined takes the default. A missing value without
/// default becomes one that the checker refuses, and so does a dtype of -1, which stands for the default inside.
void read_attributes(const Napi::Value& value, Call& call) {
  Napi::Array given = value.As<Napi::Array>();
  for (size_t i = 0; i < call.contract->attribute_count; ++i) {
    const Attribute& a = call.contract->attributes[i];
    Napi::Value v = given.Get(static_cast<uint32_t>(i));
    double number = v.IsNumber() ? v.As<Napi::Number>().DoubleValue() : v.IsUndefined() ? a.fallback : std::nan("");
    if (a.kind == AttributeKind::dtype && number < 0 && !v.IsUndefined()) number = std::nan("");
    char* at = static_cast<char*>(call.args()) + a.offset;
    if (a.kind == AttributeKind::real)
      *reinterpret_cast<double*>(at) = number;
    else
      *reinterpret_cast<int64_t*>(at) = std::fabs(number) <= 9007199254740991.0 && number == std::trunc(number)
                                            ? static_cast<int64_t>(number)
                                            : INT64_MIN;
  }
}

}  // namespace

Napi::Function ContextObject::define(Napi::Env env) {
  return DefineClass(env, "NativeContext",
                     {InstanceMethod<&ContextObject::Describe>("describe"),
                      InstanceMethod<&ContextObject::MakeTensor>("tensor"),
                      InstanceMethod<&ContextObject::FromFile>("fromFile"),
                      InstanceMethod<&ContextObject::Write>("write"),
                      InstanceMethod<&ContextObject::Read>("read"),
                      InstanceMethod<&ContextObject::Run>("run"),
                      InstanceMethod<&ContextObject::BeginRecord>("beginRecord"),
                      InstanceMethod<&ContextObject::EndRecord>("endRecord"),
                      InstanceMethod<&ContextObject::AbortRecord>("abortRecord"),
                      InstanceMethod<&ContextObject::RunProgram>("runProgram"),
                      InstanceMethod<&ContextObject::Newest>("newest"),
                      InstanceMethod<&ContextObject::Completed>("completed"),
                      InstanceMethod<&ContextObject::LookOut>("lookOut"),
                      InstanceMethod<&ContextObject::Approach>("approach"),
                      InstanceMethod<&ContextObject::Receive>("receive"),
                      InstanceMethod<&ContextObject::Outcome>("outcome"),
                      InstanceMethod<&ContextObject::EnterRange>("enterRange"),
                      InstanceMethod<&ContextObject::LeaveRange>("leaveRange"),
                      InstanceMethod<&ContextObject::ProfileStart>("profileStart"),
                      InstanceMethod<&ContextObject::ProfileStop>("profileStop"),
                      InstanceMethod<&ContextObject::Counters>("counters"),
                      InstanceMethod<&ContextObject::FreeMemory>("freeMemory"),
                      InstanceMethod<&ContextObject::ResidentBytes>("residentBytes"),
                      InstanceMethod<&ContextObject::Close>("close")});
}

namespace {

/// {ordinal, arch, seed, races, guarded, failsAt}; what is missing is 0.
DeviceOptions read_device_options(const Napi::Value& value) {
  DeviceOptions options{};
  if (!value.IsObject()) return options;
  const Napi::Object given = value.As<Napi::Object>();
  auto number = [&](const char* name) {
    const Napi::Value v = given.Get(name);
    return v.IsNumber() ? v.As<Napi::Number>().Int32Value() : v.IsBoolean() && v.As<Napi::Boolean>().Value() ? 1 : 0;
  };
  options.ordinal = number("ordinal");
  options.arch = number("arch");
  options.seed = static_cast<uint32_t>(number("seed"));
  options.races = number("races");
  options.guarded = number("guarded");
  options.fails_at = number("failsAt");
  return options;
}

}  // namespace

/// new NativeContext(device, isa, threads, device options)
ContextObject::ContextObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  info.This().As<Napi::Object>().TypeTag(&kTag);
  Context::Options options;
  options.device = info[0].ToString();
  options.isa = info[1].ToString();
  options.threads = info[2].ToNumber().Int32Value();
  options.on_device = read_device_options(info[3]);
  throw_unless_ok(info.Env(), Context::create(options, &context_));
  context_->on_arrival([teller = data_of(info.Env()).teller] { teller->tell(); });
  data_of(info.Env()).contexts.insert(this);
}

ContextObject::~ContextObject() {
  if (EnvData* data = Env().GetInstanceData<EnvData>()) data->contexts.erase(this);
}

void ContextObject::require_open(Napi::Env env) const {
  if (closing_ || context_->closed()) throw_code(env, Code::DISPOSED, "the context was disposed");
}

void ContextObject::require_not_recording(Napi::Env env, const char* what) const {
  if (recording_)
    throw_code(env, Code::NOT_SUPPORTED, std::string(what) + " is not possible while a program is being recorded");
}

Napi::Value ContextObject::Describe(const Napi::CallbackInfo& info) {
  Napi::Object o = Napi::Object::New(info.Env());
  o.Set("device", context_->dispatcher().backend().device);
  o.Set("isa", context_->dispatcher().backend().isa);
  o.Set("threads", context_->dispatcher().threads());
  if (const Device* device = context_->dispatcher().device()) o.Set("card", device->info().name);
  return o;
}

/// tensor(dtype, shape): memory comes with the first write.
Napi::Value ContextObject::MakeTensor(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  require_open(env);
  require_not_recording(env, "making a tensor");
  Tensor t{};
  const int dtype = info[0].IsNumber() ? info[0].As<Napi::Number>().Int32Value() : -1;
  if (dtype < 0 || dtype >= kDTypeCount) throw_code(env, Code::BAD_DTYPE, "unknown dtype");
  t.view.dtype = static_cast<DType>(dtype);
  throw_unless_ok(env, read_shape(info[1], &t.view));
  t.storage = std::make_shared<Storage>(storage_bytes(t.view), context_->memory());
  return TensorObject::make(env, std::move(t), context_.get(), true);
}

/// fromFile(file, offset, dtype, shape)
Napi::Value ContextObject::FromFile(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  require_open(env);
  std::shared_ptr<WeightFile> file = unwrap<WeightFileObject>(info[0])->get();
  Tensor t{};
  const double offset = info[1].IsNumber() ? info[1].As<Napi::Number>().DoubleValue() : -1;
  const int dtype = info[2].IsNumber() ? info[2].As<Napi::Number>().Int32Value() : -1;
  if (dtype < 0 || dtype >= kDTypeCount) throw_code(env, Code::BAD_DTYPE, "unknown dtype");
  t.view.dtype = static_cast<DType>(dtype);
  throw_unless_ok(env, read_shape(info[3], &t.view));
  const int64_t bytes = storage_bytes(t.view);
  const bool whole = offset >= 0 && offset <= 9e15 && offset == static_cast<double>(static_cast<int64_t>(offset));
  throw_unless_ok(env, file->check(whole ? static_cast<int64_t>(offset) : -1, bytes));
  Dispatcher& dispatcher = context_->dispatcher();
  t.storage = std::make_shared<FileStorage>(std::move(file), static_cast<int64_t>(offset), bytes, context_->memory(),
                                            dispatcher.device() ? &dispatcher.transfers() : nullptr);
  return TensorObject::make(env, std::move(t), context_.get(), false);
}

/// write(tensor, data: Uint8Array | null, activity): copies at once, lands in queue order; null fills with zeros.
Napi::Value ContextObject::Write(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  require_open(env);
  require_not_recording(env, "writing a tensor");
  const Tensor& t = unwrap<TensorObject>(info[0])->get(context_.get(), "tensor");
  const int64_t bytes = storage_bytes(t.view), offset = t.offset;
  auto data = std::make_shared<std::vector<uint8_t>>();
  const bool zeros = info[1].IsNull() || info[1].IsUndefined();
  if (!zeros) {
    if (!info[1].IsTypedArray()) throw_code(env, Code::BAD_OPTION, "data must be a typed array");
    Napi::TypedArray array = info[1].As<Napi::TypedArray>();
    if (static_cast<int64_t>(array.ByteLength()) != bytes)
      throw_status(
          env, Status::mismatch(Code::BAD_SHAPE, "data", std::to_string(bytes) + " bytes for " + hb::describe(t.view),
                                std::to_string(array.ByteLength()) + " bytes"));
    const auto* p = static_cast<const uint8_t*>(array.ArrayBuffer().Data()) + array.ByteOffset();
    data->assign(p, p + bytes);
  }
  StoragePtr storage = t.storage;
  if (dynamic_cast<FileStorage*>(storage.get()))
    throw_code(env, Code::NOT_SUPPORTED, "a tensor of a file is read-only");
  auto work = [storage, data, zeros, bytes, offset](Dispatcher& dispatcher) {
    if (Status s = storage->allocate(); !s.ok()) return s;
    char* to = static_cast<char*>(storage->data()) + offset;
    return zeros ? dispatcher.transfers().zero(to, bytes) : dispatcher.transfers().write(to, data->data(), bytes);
  };
  return ticket_value(env, context_->enqueue(std::move(work), {storage}, activity_of(info[2]), range_));
}

/// read(tensor): {ticket, data}: once the ticket's job is done, data() gives the bytes as an ArrayBuffer, once, or
/// throws.
Napi::Value ContextObject::Read(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  require_open(env);
  require_not_recording(env, "reading a tensor");
  const Tensor& t = unwrap<TensorObject>(info[0])->get(context_.get(), "tensor");
  if (t.storage->transient)
    throw_code(env, Code::DISPOSED, "an intermediate of a recorded program has no data outside it");
  struct Result {
    std::vector<uint8_t> bytes;
    Status status;
    bool ran = false;
  };
  auto result = std::make_shared<Result>();
  // what a job says that never ran, because the context was closed first
  result->status = Status::fail(Code::CANCELLED, "the work was cancelled");
  auto read = [storage = t.storage, offset = t.offset, bytes = storage_bytes(t.view), result](Dispatcher& dispatcher) {
    result->ran = true;
    result->status = storage->failure ? *storage->failure : storage->load();
    if (!result->status.ok()) return Status::success();
    result->status = Status::fail(Code::CANCELLED, "the work was cancelled");
    const char* from = static_cast<const char*>(storage->data()) + offset;
    dispatcher.transfers().read(from, bytes, [result, bytes](const Status& status, const void* data) {
      const auto* p = static_cast<const uint8_t*>(data);
      if (status.ok()) result->bytes.assign(p, p + bytes);
      result->status = status;
    });
    return Status::success();
  };
  context_->memory()->reads++;
  Napi::Object reading = Napi::Object::New(env);
  reading.Set("ticket", ticket_value(env, context_->enqueue(std::move(read), {}, nullptr, range_)));
  reading.Set("data", Napi::Function::New(env, [context = context_, result](const Napi::CallbackInfo& call) {
                const auto lost = result->ran ? nullptr : context->lost();
                if (lost) result->status = *lost;
                throw_unless_ok(call.Env(), result->status);
                result->status = Status::fail(Code::INTERNAL, "the bytes were taken before");
                const std::vector<uint8_t> bytes = std::move(result->bytes);  // not kept until a garbage collection
                return to_buffer(call.Env(), bytes.data(), bytes.size());
              }));
  return reading;
}

/// run(op, operands in contract order without Out ones, attributes in contract order, activity): the Out tensors in
/// order.
Napi::Value ContextObject::Run(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  require_open(env);
  const int op = info[0].IsNumber() ? info[0].As<Napi::Number>().Int32Value() : -1;
  if (op < 0 || op >= kOpCount) throw_code(env, Code::INTERNAL, "unknown op number");
  if (!info[1].IsArray() || !info[2].IsArray()) throw_code(env, Code::BAD_OPTION, "operands and attributes are arrays");
  Call call(static_cast<Op>(op));
  Napi::Array given = info[1].As<Napi::Array>();
  uint32_t next = 0;
  auto fail = [&](Status s) {
    s.op = call.contract->name;
    if (s.message.empty()) s.message = s.op + ": " + s.operand + " must be " + s.expected + ", got " + s.got;
    throw_status(env, s);
  };
  for (size_t i = 0; i < call.contract->operand_count; ++i) {
    const Operand& o = call.contract->operands[i];
    if (o.role == Role::out) continue;
    const Napi::Value value = given.Get(next++);
    if (value.IsUndefined() || value.IsNull()) continue;
    TensorObject* object = nullptr;
    try {
      object = unwrap<TensorObject>(value);
    } catch (const Napi::Error&) {
      fail(Status::mismatch(Code::BAD_OPTION, o.name, "a tensor", "something else"));
    }
    if (object->owner() != context_.get())
      fail(Status::mismatch(Code::BAD_DEVICE, o.name, "a tensor of this context", "one of another context"));
    const Tensor* t = nullptr;
    try {
      t = &object->get();
    } catch (const Napi::Error&) {
      fail(Status::mismatch(Code::DISPOSED, o.name, "a live tensor", "a disposed one"));
    }
    if (t->storage->transient && !recording_)
      fail(Status::mismatch(Code::DISPOSED, o.name, "a tensor with data", "an intermediate of a recorded program"));
    if (o.role == Role::inout && dynamic_cast<FileStorage*>(t->storage.get()))
      fail(Status::mismatch(Code::NOT_SUPPORTED, o.name, "a writable tensor", "one of a file"));
    view_of(call.args(), o) = t->view;
    call.references.push_back({&o, t->storage, t->offset});
  }
  read_attributes(info[2], call);
  throw_unless_ok(env, check(*call.contract, call.args()));
  throw_unless_ok(env, context_->dispatcher().supports(call));

  Napi::Array results = Napi::Array::New(env);
  std::vector<StoragePtr> outputs;
  for (size_t i = 0; i < call.contract->operand_count; ++i) {
    const Operand& o = call.contract->operands[i];
    if (o.role != Role::out) continue;
    const TensorView& view = view_of(call.args(), o);
    if (!view.present) {
      results.Set(results.Length(), env.Null());
      continue;
    }
    Tensor t{view, std::make_shared<Storage>(storage_bytes(view), context_->memory()), 0};
    t.storage->transient = recording_;
    call.references.push_back({&o, t.storage, 0});
    outputs.push_back(t.storage);
    results.Set(results.Length(), TensorObject::make(env, std::move(t), context_.get(), !recording_));
  }
  if (recording_) {
    call.range = range_;
    recorded_.push_back(std::move(call));
    return results;
  }
  auto shared = std::make_shared<Call>(std::move(call));
  context_->enqueue(
      [shared](Dispatcher& dispatcher) {
        for (const Call::Reference& r : shared->references) {
          if (r.operand->role == Role::out) continue;
          if (r.storage->failure) return *r.storage->failure;
        }
        return dispatcher.run_alone(*shared);
      },
      std::move(outputs), activity_of(info[3]), range_);
  return results;
}

/// beginRecord(name): what the profiler is to call the program.
Napi::Value ContextObject::BeginRecord(const Napi::CallbackInfo& info) {
  require_open(info.Env());
  require_not_recording(info.Env(), "recording another program");
  recording_ = true;
  outside_ = std::exchange(range_, std::make_shared<const Range>(Range{info[0].ToString(), nullptr}));
  recorded_.clear();
  return info.Env().Undefined();
}

Napi::Value ContextObject::AbortRecord(const Napi::CallbackInfo& info) {
  stop_recording();
  recorded_.clear();
  return info.Env().Undefined();
}

/// endRecord(outputs): the program. Tensors that were made outside the recording are no outputs and are passed over.
Napi::Value ContextObject::EndRecord(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  require_open(env);
  if (!recording_) throw_code(env, Code::INTERNAL, "no program is being recorded");
  stop_recording();
  std::vector<Call> calls = std::move(recorded_);
  recorded_.clear();
  std::vector<StoragePtr> outputs;
  Napi::Array list = info[0].As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const Tensor& t = unwrap<TensorObject>(list.Get(i))->get(context_.get(), "output");
    if (t.storage->transient) outputs.push_back(t.storage);
  }
  std::shared_ptr<Program> program;
  throw_unless_ok(
      env, Program::create(std::move(calls), std::move(outputs), context_->memory(), context_->dispatcher(), &program));
  return ProgramObject::make(env, std::move(program), context_.get());
}

/// runProgram(program, activity): its ticket.
Napi::Value ContextObject::RunProgram(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  require_open(env);
  require_not_recording(env, "running a program");
  std::shared_ptr<Program> program = unwrap<ProgramObject>(info[0])->get(context_.get());
  ActivityPtr activity = activity_of(info[1]);
  std::vector<StoragePtr> outputs = program->outputs();
  return ticket_value(env, context_->enqueue([program, activity](Dispatcher& d) { return program->run(d, activity); },
                                             std::move(outputs), activity, range_, program->time()));
}

void ContextObject::stop_recording() {
  if (!std::exchange(recording_, false)) return;
  range_ = std::move(outside_);
}

/// freeMemory(): bytes of device memory that nobody has; null where tensors are in host memory.
Napi::Value ContextObject::FreeMemory(const Napi::CallbackInfo& info) {
  require_open(info.Env());
  const Device* device = context_->dispatcher().device();
  const int64_t bytes = device ? device->api().free_memory(device->handle()) : -1;
  return bytes < 0 ? info.Env().Null() : Napi::Number::New(info.Env(), static_cast<double>(bytes));
}

/// residentBytes(): bytes of its tensors' kind of memory that the system has given, blocks kept for reuse among them.
Napi::Value ContextObject::ResidentBytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(context_->memory()->resident()));
}

Napi::Value ContextObject::Counters(const Napi::CallbackInfo& info) {
  const Memory& m = *context_->memory();
  Napi::Object o = Napi::Object::New(info.Env());
  auto set = [&](const char* name, const std::atomic<int64_t>& v) { o.Set(name, static_cast<double>(v.load())); };
  set("bytes", m.bytes);
  set("peakBytes", m.peak_bytes);
  set("allocations", m.allocations);
  set("ops", m.ops);
  set("reads", m.reads);
  set("recordings", m.recordings);
  set("runs", m.runs);
  o.Set("queued", static_cast<double>(context_->queued()));
  o.Set("peakQueued", static_cast<double>(context_->peak_queued()));
  if (context_->pinned()) {
    set("hostBytes", context_->pinned()->bytes);
    const DeviceCounters d = context_->device_counters();
    o.Set("launches", static_cast<double>(d.launches));
    o.Set("graphLaunches", static_cast<double>(d.graph_launches));
    o.Set("copies", static_cast<double>(d.copies));
    o.Set("fences", static_cast<double>(d.fences));
    o.Set("synchronising", static_cast<double>(d.synchronising));
    if (d.kernel_names) {
      Napi::Object kernels = Napi::Object::New(info.Env());
      for (int i = 0; d.kernel_names[i]; ++i) kernels.Set(d.kernel_names[i], static_cast<double>(d.kernels[i]));
      o.Set("kernels", kernels);
    }
  } else {
    for (const char* name : {"hostBytes", "launches", "graphLaunches", "copies", "fences", "synchronising"})
      o.Set(name, 0);
  }
  return o;
}

}  // namespace hb::node
