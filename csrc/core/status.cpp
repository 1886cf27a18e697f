#include "core/status.h"

namespace hb {

const char* name_of(Code code) {
  static constexpr const char* names[] = {
#define HB_ERROR(name, meaning) #name,
#include "core/error_codes.def"
#undef HB_ERROR
  };
  return code == Code::ok ? "OK" : names[static_cast<int>(code)];
}

}  // namespace hb
