#pragma once
#include <string>
#include <utility>

namespace hb {

enum class Code : int {
  ok = -1,
#define HB_ERROR(name, meaning) name,
#include "core/error_codes.def"
#undef HB_ERROR
};

const char* name_of(Code code);

/// The outcome of a native call. Nothing in csrc throws across a module, prints or aborts.
struct Status {
  Code code = Code::ok;
  std::string message;
  std::string op, operand, expected, got;

  bool ok() const { return code == Code::ok; }
  static Status success() { return {}; }
  static Status fail(Code code, std::string message) {
    Status s;
    s.code = code;
    s.message = std::move(message);
    return s;
  }
  /// A broken contract: which operand, what it should have been, what came.
  static Status mismatch(Code code, std::string operand, std::string expected, std::string got) {
    Status s;
    s.code = code;
    s.operand = std::move(operand);
    s.expected = std::move(expected);
    s.got = std::move(got);
    return s;
  }
};

}  // namespace hb
