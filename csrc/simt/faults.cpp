#include "simt/faults.h"

#include <dlfcn.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>

#include "simt/block.h"

namespace hb::simt {

namespace {

constexpr size_t kPage = 4096, kSlack = 16;

struct Area {
  char* start;  ///< of the mapping
  size_t mapped, bytes;
};

struct Areas {
  std::mutex mutex;
  std::map<char*, Area> by_memory;
};
// Never destroyed: memory may be given back while the process ends.
Areas& areas() {
  static Areas* const all = new Areas;
  return *all;
}

struct sigaction g_before[2];  // SIGSEGV, SIGBUS

const void* instruction_of(void* context) {
#if defined(__x86_64__)
  return reinterpret_cast<const void*>(static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP]);
#elif defined(__aarch64__)
  return reinterpret_cast<const void*>(static_cast<ucontext_t*>(context)->uc_mcontext.pc);
#else
  (void)context;
  return nullptr;
#endif
}

/// The process is about to end: says which buffer the host touched, with no help that might need a lock or memory.
void report_outside(const void* address, const void* code) {
  const char* a = static_cast<const char*>(address);
  if (!areas().mutex.try_lock()) return;
  for (const auto& [memory, area] : areas().by_memory) {
    if (a < area.start || a >= area.start + area.mapped) continue;
    Dl_info info{};
    if (!dladdr(code, &info)) info.dli_fbase = nullptr;
    std::fprintf(stderr,
                 "simt: host code touched byte %td of a device buffer of %zu bytes outside of a launch, at %s+0x%tx\n",
                 a - memory, area.bytes, info.dli_fname ? info.dli_fname : "unknown code",
                 static_cast<const char*>(code) - static_cast<const char*>(info.dli_fbase));
  }
  areas().mutex.unlock();
}

void on_fault(int signal, siginfo_t* info, void* context) {
  if (t_block && t_self) t_block->fault(info->si_addr, instruction_of(context));  // does not return
  report_outside(info->si_addr, instruction_of(context));
  const struct sigaction& before = g_before[signal == SIGBUS];
  if (before.sa_flags & SA_SIGINFO) return before.sa_sigaction(signal, info, context);
  if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) return before.sa_handler(signal);
  sigaction(signal, &before, nullptr);  // the instruction faults again
}

/// The handler needs a stack of its own: a fiber that ran out of stack has none.
struct SignalStack {
  static constexpr size_t kBytes = 64 * 1024;
  std::unique_ptr<char[]> memory{new char[kBytes]};
  SignalStack() {
    stack_t s{};
    s.ss_sp = memory.get(), s.ss_size = kBytes;
    sigaltstack(&s, nullptr);
  }
  ~SignalStack() {
    stack_t s{};
    s.ss_flags = SS_DISABLE;
    sigaltstack(&s, nullptr);
  }
};

std::string find_line(const void* code) {
  Dl_info info{};
  if (!dladdr(code, &info) || !info.dli_fname) return "unknown code";
  const size_t offset = static_cast<size_t>(static_cast<const char*>(code) - static_cast<const char*>(info.dli_fbase));
  const std::string file = info.dli_fname;
  char number[32];
  std::snprintf(number, sizeof number, "0x%zx", offset > 0 ? offset - 1 : 0);  // a return address lies behind its call
  std::string line;
  if (file.find('\'') == std::string::npos) {
    if (FILE* tool = popen(("addr2line -e '" + file + "' " + number + " 2>/dev/null").c_str(), "r")) {
      char buffer[512];
      if (fgets(buffer, sizeof buffer, tool)) line = buffer;
      pclose(tool);
    }
  }
  while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) line.pop_back();
  if (const size_t discriminator = line.find(" ("); discriminator != std::string::npos) line.erase(discriminator);
  const size_t slash = line.rfind('/');
  if (line.empty() || line.find('?') != std::string::npos) return file.substr(file.rfind('/') + 1) + "+" + number;
  return slash == std::string::npos ? line : line.substr(slash + 1);
}

}  // namespace

void* guarded_allocate(size_t bytes) {
  const size_t rounded = (bytes + kSlack - 1) / kSlack * kSlack, usable = (rounded + kPage - 1) / kPage * kPage;
  void* start = mmap(nullptr, usable + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) return nullptr;
  char* guard = static_cast<char*>(start) + usable;
  if (mprotect(guard, kPage, PROT_NONE) != 0) {
    munmap(start, usable + kPage);
    return nullptr;
  }
  std::memset(start, 0xFF, usable);
  char* memory = guard - rounded;
  const std::lock_guard lock(areas().mutex);
  areas().by_memory[memory] = {static_cast<char*>(start), usable + kPage, bytes};
  return memory;
}

void guarded_free(void* memory) {
  if (!memory) return;
  Area area;
  {
    const std::lock_guard lock(areas().mutex);
    const auto found = areas().by_memory.find(static_cast<char*>(memory));
    if (found == areas().by_memory.end()) return;
    area = found->second;
    areas().by_memory.erase(found);
  }
  munmap(area.start, area.mapped);
}

void catch_faults() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action{};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;  // the handler is left by a switch of stacks
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &g_before[0]);
    sigaction(SIGBUS, &action, &g_before[1]);
  });
  static thread_local const SignalStack stack;
  (void)stack.memory;
}

std::string describe_fault(const Block& block, const Stacks& stacks, const void* address, const void* code, Site site) {
  const char* a = static_cast<const char*>(address);
  char text[64];
  std::snprintf(text, sizeof text, "access to address %p", address);
  std::string what = text;
  if (const int t = stacks.guard_of(address); t >= 0) {
    what = "thread " + std::to_string(t) + " has used up its stack";
  } else if (block.beyond_shared(address)) {
    what = "access beyond the block's shared memory";
  } else {
    const std::lock_guard lock(areas().mutex);
    auto next = areas().by_memory.upper_bound(const_cast<char*>(a));
    if (next != areas().by_memory.begin()) {
      const auto& [memory, area] = *--next;
      if (a < area.start + area.mapped) {
        what =
            "access to byte " + std::to_string(a - memory) + " of a buffer of " + std::to_string(area.bytes) + " bytes";
      }
    }
  }
  const std::string where = text_of_code(code);
  // Inside a primitive, the place where it was called says more.
  const bool in_kernel = where.find(".cu:") != std::string::npos ||
                         (where.find(".h:") != std::string::npos && where.find("emulated.h:") == std::string::npos);
  return (in_kernel ? where : text_of(site)) + ": " + what;
}

std::string text_of_code(const void* code) {
  // A tool is started for each address: once.
  static auto* const known = new std::map<const void*, std::string>;
  static auto* const mutex = new std::mutex;
  const std::lock_guard lock(*mutex);
  const auto found = known->find(code);
  return found != known->end() ? found->second : known->emplace(code, find_line(code)).first->second;
}

}  // namespace hb::simt
