#pragma once
#include "env.h"
#include "runtime/context.h"
#include "runtime/program.h"
#include "runtime/weight_file.h"

namespace hb::node {

/// A tensor handle. It owns one count on its storage; `dispose` drops it at once, the collector at last.
class TensorObject : public Napi::ObjectWrap<TensorObject> {
 public:
  static inline const napi_type_tag kTag = tag_of_class(1);
  static constexpr const char* kName = "tensor";
  static Napi::Function define(Napi::Env env);
  /// `external` bytes are reported to V8 as held by this handle.
  static Napi::Object make(Napi::Env env, Tensor tensor, Context* owner, bool external);

  explicit TensorObject(const Napi::CallbackInfo& info);
  ~TensorObject() override { release(); }

  /// The tensor, or DISPOSED; BAD_DEVICE when it belongs to another context.
  const Tensor& get(Context* context, const char* operand) const;
  const Tensor& get() const;
  Context* owner() const { return owner_; }

 private:
  Napi::Value Dispose(const Napi::CallbackInfo& info);
  Napi::Value View(const Napi::CallbackInfo& info);
  Napi::Value GetDisposed(const Napi::CallbackInfo& info);
  Napi::Value GetDtype(const Napi::CallbackInfo& info);
  Napi::Value GetShape(const Napi::CallbackInfo& info);
  Napi::Value GetPacked(const Napi::CallbackInfo& info);
  Napi::Value GetBytes(const Napi::CallbackInfo& info);
  void release();

  Tensor tensor_;
  Context* owner_ = nullptr;  ///< identity only, never followed
  int64_t reported_ = 0;
};

class ProgramObject : public Napi::ObjectWrap<ProgramObject> {
 public:
  static inline const napi_type_tag kTag = tag_of_class(2);
  static constexpr const char* kName = "program";
  static Napi::Function define(Napi::Env env);
  static Napi::Object make(Napi::Env env, std::shared_ptr<Program> program, Context* owner);
  explicit ProgramObject(const Napi::CallbackInfo& info);
  std::shared_ptr<Program> get(Context* context) const;

 private:
  Napi::Value Dispose(const Napi::CallbackInfo& info);
  Napi::Value Describe(const Napi::CallbackInfo& info);
  std::shared_ptr<Program> program_;
  Context* owner_ = nullptr;
};

class ActivityObject : public Napi::ObjectWrap<ActivityObject> {
 public:
  static inline const napi_type_tag kTag = tag_of_class(3);
  static constexpr const char* kName = "activity";
  static Napi::Function define(Napi::Env env);
  explicit ActivityObject(const Napi::CallbackInfo& info);
  ActivityPtr activity = std::make_shared<Activity>();

 private:
  Napi::Value Cancel(const Napi::CallbackInfo& info);
};

class WeightFileObject : public Napi::ObjectWrap<WeightFileObject> {
 public:
  static inline const napi_type_tag kTag = tag_of_class(4);
  static constexpr const char* kName = "weight file";
  static Napi::Function define(Napi::Env env);
  explicit WeightFileObject(const Napi::CallbackInfo& info);
  std::shared_ptr<WeightFile> get() const;

 private:
  Napi::Value GetBytes(const Napi::CallbackInfo& info);
  Napi::Value Dispose(const Napi::CallbackInfo& info);
  std::shared_ptr<WeightFile> file_;
};

/// One device and its queue. Calls check and queue; what is far off the context's own threads tell of.
class ContextObject : public Napi::ObjectWrap<ContextObject> {
 public:
  static inline const napi_type_tag kTag = tag_of_class(5);
  static constexpr const char* kName = "context";
  static Napi::Function define(Napi::Env env);
  explicit ContextObject(const Napi::CallbackInfo& info);
  ~ContextObject() override;
  const std::shared_ptr<Context>& context() const { return context_; }
  void close() { context_->close(); }
  /// On the JavaScript thread, after a context's thread has told that something arrived: settles what was waited for.
  static void arrived(napi_env env, napi_value, void*, void*);

 private:
  class Closer;
  struct Pending {
    uint64_t ticket;
    bool ring;
    napi_deferred deferred;
  };

  Napi::Value Describe(const Napi::CallbackInfo& info);
  Napi::Value MakeTensor(const Napi::CallbackInfo& info);
  Napi::Value FromFile(const Napi::CallbackInfo& info);
  Napi::Value Write(const Napi::CallbackInfo& info);
  Napi::Value Read(const Napi::CallbackInfo& info);
  Napi::Value Run(const Napi::CallbackInfo& info);
  Napi::Value BeginRecord(const Napi::CallbackInfo& info);
  Napi::Value EndRecord(const Napi::CallbackInfo& info);
  Napi::Value AbortRecord(const Napi::CallbackInfo& info);
  Napi::Value RunProgram(const Napi::CallbackInfo& info);
  Napi::Value Newest(const Napi::CallbackInfo& info);
  Napi::Value Completed(const Napi::CallbackInfo& info);
  Napi::Value LookOut(const Napi::CallbackInfo& info);
  Napi::Value Approach(const Napi::CallbackInfo& info);
  Napi::Value Receive(const Napi::CallbackInfo& info);
  Napi::Value Outcome(const Napi::CallbackInfo& info);
  Napi::Value EnterRange(const Napi::CallbackInfo& info);
  Napi::Value LeaveRange(const Napi::CallbackInfo& info);
  Napi::Value ProfileStart(const Napi::CallbackInfo& info);
  Napi::Value ProfileStop(const Napi::CallbackInfo& info);
  Napi::Value FreeMemory(const Napi::CallbackInfo& info);
  Napi::Value ResidentBytes(const Napi::CallbackInfo& info);
  Napi::Value Counters(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

  void require_open(Napi::Env env) const;
  void stop_recording();
  void require_not_recording(Napi::Env env, const char* what) const;
  bool dropped(uint64_t ticket, bool ring) const;
  void settle(Napi::Env env);
  static void hold_while_waited(Napi::Env env);

  std::shared_ptr<Context> context_;
  bool recording_ = false, closing_ = false;
  std::vector<Call> recorded_;
  RangePtr range_, outside_;  ///< at hand; where a recording was begun
  std::vector<Pending> pending_;
};

/// The activity that a value stands for; null for undefined or null.
ActivityPtr activity_of(const Napi::Value& value);

/// A ticket as JavaScript has it.
Napi::Value ticket_value(Napi::Env env, uint64_t ticket);

/// One ring record or read result as a fresh ArrayBuffer.
Napi::Value to_buffer(Napi::Env env, const void* data, size_t bytes);

/// The contracts as data: what `npm run gen`, the facade and the tests read.
Napi::Value describe_contracts(const Napi::CallbackInfo& info);

/// What this machine does at best, see cpu/roofline.h.
Napi::Value measure_roofline(const Napi::CallbackInfo& info);

/// What a device other than the cpu has to offer.
Napi::Value probe_device(const Napi::CallbackInfo& info);

/// Shape of a JavaScript array, checked: at most kMaxRank safe non-negative integers.
Status read_shape(const Napi::Value& value, TensorView* view);

}  // namespace hb::node
