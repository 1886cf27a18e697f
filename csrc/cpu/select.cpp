#include "cpu/select.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace hb::cpu {

extern const Verbs verbs_scalar, verbs_avx2, verbs_avx512, verbs_avx512bf16, verbs_amx, verbs_avx512bf16_model,
    verbs_amx_model;

namespace {

struct Features {
  bool avx2 = false, avx512 = false, avx512bf16 = false, amx = false;
};

#if defined(__x86_64__)
bool bit(uint32_t word, int n) { return word >> n & 1u; }

/// Linux hands out the large tile registers on request, once per process.
bool request_tiles() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

Features detect() {
  Features f;
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !bit(c, 27)) return f;  // no XGETBV: the system saves no wide registers
  const bool fma = bit(c, 12), f16c = bit(c, 29);
  uint32_t saved, high;
  __asm__("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return f;
  const uint32_t leaf7b = b, leaf7d = d;
  const bool ymm = (saved & 0x6) == 0x6, zmm = (saved & 0xE6) == 0xE6, tiles = (saved & 0x60000) == 0x60000;
  f.avx2 = ymm && fma && f16c && bit(leaf7b, 5);
  f.avx512 = zmm && f.avx2 && bit(leaf7b, 16) && bit(leaf7b, 17) && bit(leaf7b, 30) && bit(leaf7b, 31);
  f.avx512bf16 = f.avx512 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && bit(a, 5);
  f.amx = f.avx512 && tiles && bit(leaf7d, 22) && bit(leaf7d, 24) && request_tiles();
  return f;
}
#else
Features detect() { return {}; }
#endif

std::vector<Isa> list() {
  [[maybe_unused]] const Features f = detect();
  std::vector<Isa> isas;
#if defined(__x86_64__)
#ifndef HB_NO_AMX
  isas.push_back({&verbs_amx, f.amx, false});
#endif
#ifndef HB_NO_AVX512BF16
  isas.push_back({&verbs_avx512bf16, f.avx512bf16, false});
#endif
#ifndef HB_NO_AVX512
  isas.push_back({&verbs_avx512, f.avx512, false});
#endif
#ifndef HB_NO_AVX2
  isas.push_back({&verbs_avx2, f.avx2, false});
#endif
#endif
  isas.push_back({&verbs_scalar, true, false});
  isas.push_back({&verbs_avx512bf16_model, true, true});
  isas.push_back({&verbs_amx_model, true, true});
  return isas;
}

}  // namespace

const std::vector<Isa>& instruction_sets() {
  static const std::vector<Isa> isas = list();
  return isas;
}

Status select(const std::string& name, const Verbs** verbs) {
  std::string known;
  for (const Isa& isa : instruction_sets()) {
    if (name.empty() ? isa.runs_here && !isa.model : name == isa.verbs->name) {
      if (!isa.runs_here) {
        Status s = Status::mismatch(Code::NOT_SUPPORTED, "isa", "an instruction set of this machine", name);
        s.message = "instruction set " + name + " is not available on this machine";
        return s;
      }
      *verbs = isa.verbs;
      return Status::success();
    }
    if (!isa.model) known += known.empty() ? isa.verbs->name : std::string(", ") + isa.verbs->name;
  }
  return Status::mismatch(Code::BAD_OPTION, "isa", "one of " + known, name);
}

}  // namespace hb::cpu
