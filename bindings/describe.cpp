#include <cmath>

#include "objects.h"

namespace hb::node {

Napi::Value describe_contracts(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto dtypes = [&](DTypeSet set) {
    Napi::Array list = Napi::Array::New(env);
    for (int i = 0; i < kDTypeCount; ++i)
      if (set >> i & 1) list.Set(list.Length(), kDTypeNames[i]);
    return list;
  };
  static constexpr const char* roles[] = {"in", "out", "inout"};
  static constexpr const char* kinds[] = {"integer", "real", "choice", "dtype"};
  Napi::Array ops = Napi::Array::New(env, kOpCount);
  for (int i = 0; i < kOpCount; ++i) {
    const Contract& c = *kContracts[i];
    Napi::Object op = Napi::Object::New(env);
    op.Set("name", c.name);
    op.Set("summary", c.summary);
    op.Set("formula", c.formula);
    op.Set("liveDim", c.live_dim ? Napi::Value(Napi::String::New(env, c.live_dim)) : env.Null());
    op.Set("cpuOnly", c.cpu_only ? Napi::Value(Napi::String::New(env, c.cpu_only)) : env.Null());
    Napi::Array operands = Napi::Array::New(env, c.operand_count);
    for (size_t j = 0; j < c.operand_count; ++j) {
      const Operand& o = c.operands[j];
      Napi::Object operand = Napi::Object::New(env);
      operand.Set("name", o.name);
      operand.Set("role", roles[static_cast<int>(o.role)]);
      operand.Set("dtypes", dtypes(o.dtypes));
      operand.Set("type", o.type == '-' ? env.Null() : Napi::Value(Napi::String::New(env, std::string(1, o.type))));
      operand.Set("dims", o.dims);
      operand.Set("optional", (o.flags & kOptional) != 0);
      operand.Set("mayBePacked", (o.flags & kMayBePacked) != 0);
      operand.Set("note", o.note);
      operands.Set(static_cast<uint32_t>(j), operand);
    }
    op.Set("operands", operands);
    Napi::Array attributes = Napi::Array::New(env, c.attribute_count);
    for (size_t j = 0; j < c.attribute_count; ++j) {
      const Attribute& a = c.attributes[j];
      Napi::Object attribute = Napi::Object::New(env);
      attribute.Set("name", a.name);
      attribute.Set("kind", kinds[static_cast<int>(a.kind)]);
      attribute.Set("min", a.min);
      attribute.Set("max", a.max);
      attribute.Set("fallback", std::isnan(a.fallback) ? env.Null() : Napi::Value(Napi::Number::New(env, a.fallback)));
      Napi::Array choices = Napi::Array::New(env);
      for (const char* p = a.choices; p && *p;) {
        const char* end = p;
        while (*end && *end != '|') ++end;
        choices.Set(choices.Length(), std::string(p, end));
        p = *end ? end + 1 : end;
      }
      attribute.Set("choices", choices);
      attribute.Set("note", a.note);
      attributes.Set(static_cast<uint32_t>(j), attribute);
    }
    op.Set("attributes", attributes);
    ops.Set(static_cast<uint32_t>(i), op);
  }
  Napi::Object all = Napi::Object::New(env);
  all.Set("dtypes", dtypes(kAny));
  all.Set("ops", ops);
  return all;
}

}  // namespace hb::node
