#pragma once

namespace hb {

/// One turn of a waiting loop: leaves the core's other thread alone.
inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace hb
