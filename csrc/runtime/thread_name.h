#pragma once
#if defined(__linux__)
#include <pthread.h>
#endif

namespace hb {

/// What perf, gdb and top call this thread; at most 15 characters.
inline void name_thread([[maybe_unused]] const char* name) {
#if defined(__linux__)
  pthread_setname_np(pthread_self(), name);
#endif
}

}  // namespace hb
