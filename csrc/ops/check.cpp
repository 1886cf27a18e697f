#include "ops/check.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace hb {

namespace {

/// A dim of a contract: a name, or a fixed size.
struct Dim {
  std::string name;
  int64_t size = -1;
};

std::vector<Dim> parse(const char* dims) {
  std::vector<Dim> list;
  for (const char* p = dims; *p;) {
    while (*p == ' ') ++p;
    const char* start = p;
    while (*p && *p != ' ') ++p;
    if (p == start) break;
    Dim d;
    d.name.assign(start, p);
    if (start[0] >= '0' && start[0] <= '9') d.size = std::strtoll(start, nullptr, 10);
    list.push_back(std::move(d));
  }
  return list;
}

bool any_shape(const char* dims) { return dims[0] == '*'; }

std::string names_of(DTypeSet set) {
  std::string s;
  for (int i = 0; i < kDTypeCount; ++i)
    if (set >> i & 1) s += (s.empty() ? "" : " or ") + std::string(kDTypeNames[i]);
  return s;
}

struct Bound {
  std::string name;
  int64_t size;
  const char* by;
};

class Checker {
 public:
  Checker(const Contract& c, void* args) : c_(c), args_(args) {}

  Status run() {
    for (size_t i = 0; i < c_.attribute_count; ++i)
      if (Status s = attribute(c_.attributes[i]); !s.ok()) return s;
    for (size_t i = 0; i < c_.operand_count; ++i)
      if (c_.operands[i].role != Role::out)
        if (Status s = input(c_.operands[i]); !s.ok()) return s;
    if (Status s = output_dtype(); !s.ok()) return s;
    for (size_t i = 0; i < c_.operand_count; ++i)
      if (c_.operands[i].role == Role::out) prepare(c_.operands[i]);
    if (c_.rules)
      if (Status s = c_.rules(args_); !s.ok()) return s;
    for (size_t i = 0; i < c_.operand_count; ++i)
      if (c_.operands[i].role == Role::out)
        if (Status s = confirm(c_.operands[i]); !s.ok()) return s;
    return Status::success();
  }

 private:
  Status attribute(const Attribute& a) {
    char* at = static_cast<char*>(args_) + a.offset;
    if (a.kind == AttributeKind::real) {
      const double v = *reinterpret_cast<double*>(at);
      if (v >= a.min && v <= a.max) return Status::success();
      return Status::mismatch(Code::BAD_OPTION, a.name, "a number from " + text(a.min) + " to " + text(a.max),
                              std::isnan(v) ? "no number" : text(v));
    }
    const int64_t v = *reinterpret_cast<int64_t*>(at);
    double low = a.min, high = a.max;
    if (a.kind == AttributeKind::choice) {
      low = 0, high = 0;
      for (const char* p = a.choices; *p; ++p) high += *p == '|';
    } else if (a.kind == AttributeKind::dtype) {
      low = -1, high = kDTypeCount - 1;
    }
    if (static_cast<double>(v) >= low && static_cast<double>(v) <= high) return Status::success();
    if (a.kind == AttributeKind::integer)
      return Status::mismatch(Code::BAD_OPTION, a.name, "an integer from " + text(low) + " to " + text(high),
                              v == INT64_MIN ? "no integer" : std::to_string(v));
    return Status::mismatch(Code::BAD_OPTION, a.name,
                            a.kind == AttributeKind::choice ? std::string("one of ") + a.choices : names_of(kAny),
                            "none of them");
  }

  Status input(const Operand& o) {
    const TensorView& t = view_of(args_, o);
    if (!t.present) {
      if (o.flags & kOptional) return Status::success();
      return Status::mismatch(Code::BAD_SHAPE, o.name,
                              any_shape(o.dims) ? "a tensor" : std::string("a tensor [") + o.dims + "]", "no tensor");
    }
    if (!(o.dtypes & set_of(t.dtype)))
      return Status::mismatch(Code::BAD_DTYPE, o.name, names_of(o.dtypes), name_of(t.dtype));
    if (o.type != '-') {
      const int slot = o.type - 'A';
      if (type_by_[slot] && types_[slot] != t.dtype)
        return Status::mismatch(Code::BAD_DTYPE, o.name,
                                std::string(name_of(types_[slot])) + ", the dtype of " + type_by_[slot],
                                name_of(t.dtype));
      types_[slot] = t.dtype;
      if (!type_by_[slot]) type_by_[slot] = o.name;
    }
    if (t.layout == Layout::packed && !(o.flags & kMayBePacked))
      return Status::mismatch(Code::BAD_SHAPE, o.name, "a plain tensor", "a packed weight");
    if (any_shape(o.dims)) return Status::success();
    const std::vector<Dim> dims = parse(o.dims);
    if (static_cast<int>(dims.size()) != t.rank)
      return Status::mismatch(Code::BAD_SHAPE, o.name, std::string("[") + o.dims + "]", describe(t));
    for (int i = 0; i < t.rank; ++i) {
      if (dims[i].size >= 0) {
        if (t.dims[i] != dims[i].size)
          return Status::mismatch(Code::BAD_SHAPE, o.name, std::string("[") + o.dims + "]", describe(t));
        continue;
      }
      if (const Bound* b = find(dims[i].name)) {
        if (b->size != t.dims[i])
          return Status::mismatch(
              Code::BAD_SHAPE, o.name,
              std::string("[") + o.dims + "] with " + b->name + " = " + std::to_string(b->size) + " as in " + b->by,
              describe(t));
      } else {
        bound_.push_back({dims[i].name, t.dims[i], o.name});
      }
    }
    return Status::success();
  }

  /// A `dtype` attribute binds type variable O; unset, it is the dtype of an input with O, else that of T.
  Status output_dtype() {
    const int o = 'O' - 'A', t = 'T' - 'A';
    for (size_t i = 0; i < c_.attribute_count; ++i) {
      if (c_.attributes[i].kind != AttributeKind::dtype) continue;
      int64_t& v = *reinterpret_cast<int64_t*>(static_cast<char*>(args_) + c_.attributes[i].offset);
      if (v < 0) v = static_cast<int64_t>(type_by_[o] ? types_[o] : type_by_[t] ? types_[t] : DType::f32);
      const DType chosen = static_cast<DType>(v);
      if (type_by_[o] && types_[o] != chosen)
        return Status::mismatch(Code::BAD_DTYPE, type_by_[o],
                                std::string(name_of(chosen)) + ", the dtype of the output", name_of(types_[o]));
      types_[o] = chosen;
      type_by_[o] = c_.attributes[i].name;
    }
    return Status::success();
  }

  void prepare(const Operand& o) {
    TensorView& t = view_of(args_, o);
    t = {};
    t.present = !(o.flags & kOptional);
    if (o.type != '-' && type_by_[o.type - 'A'])
      t.dtype = types_[o.type - 'A'];
    else
      while (!(o.dtypes & set_of(t.dtype))) t.dtype = static_cast<DType>(static_cast<int>(t.dtype) + 1);
    if (any_shape(o.dims)) return;
    const std::vector<Dim> dims = parse(o.dims);
    for (size_t i = 0; i < dims.size(); ++i) {
      const Bound* b = find(dims[i].name);
      if (dims[i].size < 0 && !b) return;
      t.dims[i] = dims[i].size >= 0 ? dims[i].size : b->size;
    }
    t.rank = static_cast<int32_t>(dims.size());
  }

  Status confirm(const Operand& o) {
    const TensorView& t = view_of(args_, o);
    if (!t.present) return Status::success();
    if (!(o.dtypes & set_of(t.dtype)))
      return Status::mismatch(Code::BAD_DTYPE, o.name, names_of(o.dtypes), name_of(t.dtype));
    double elements = 1;
    for (int i = 0; i < t.rank; ++i) elements *= static_cast<double>(t.dims[i] < 0 ? 0 : t.dims[i]);
    if (elements > 1e15) return Status::mismatch(Code::BAD_SHAPE, o.name, "at most 1e15 elements", describe(t));
    if (any_shape(o.dims)) return Status::success();
    const std::vector<Dim> dims = parse(o.dims);
    if (static_cast<int>(dims.size()) != t.rank) {
      Status s = Status::fail(Code::INTERNAL,
                              "the rules of " + std::string(c_.name) + " leave the shape of " + o.name + " open");
      s.operand = o.name;
      return s;
    }
    for (int i = 0; i < t.rank; ++i)
      if (const Bound* b = find(dims[i].name); b && b->size != t.dims[i])
        return Status::mismatch(Code::BAD_SHAPE, b->by,
                                b->name + " = " + std::to_string(t.dims[i]) + " as in " + o.name,
                                std::to_string(b->size));
    return Status::success();
  }

  const Bound* find(const std::string& name) const {
    for (const Bound& b : bound_)
      if (b.name == name) return &b;
    return nullptr;
  }

  static std::string text(double v) {
    char buffer[40];
    std::snprintf(buffer, sizeof buffer, "%.17g", v);
    char shorter[40];
    std::snprintf(shorter, sizeof shorter, "%g", v);
    return std::strtod(shorter, nullptr) == v ? shorter : buffer;
  }

  const Contract& c_;
  void* args_;
  std::vector<Bound> bound_;
  DType types_[26] = {};
  const char* type_by_[26] = {};
};

}  // namespace

std::string describe(const TensorView& t) {
  std::string s = std::string(name_of(t.dtype)) + " [";
  for (int i = 0; i < t.rank; ++i) s += (i ? ", " : "") + std::to_string(t.dims[i]);
  return s + "]";
}

Status check(const Contract& contract, void* args) {
  Status s = Checker(contract, args).run();
  if (s.ok()) return s;
  s.op = contract.name;
  if (s.message.empty()) s.message = s.op + ": " + s.operand + " must be " + s.expected + ", got " + s.got;
  return s;
}

}  // namespace hb
