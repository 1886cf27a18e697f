/* Counts the instructions that a thread executes in one function and all that it calls: sets the trap flag of the processor, which then
   raises SIGTRAP after each instruction. Needs no performance counters, which virtual machines often lack. x86-64 Linux. */
#define _GNU_SOURCE
#include <node_api.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define TRAP_FLAG 0x100

static volatile unsigned long entry;   /* address of the function */
static volatile long counts[64];       /* instructions of each of its runs */
static volatile int runs, wanted, active;
static volatile unsigned long frame;   /* stack pointer at entry */

static void on_trap(int number, siginfo_t* info, void* context) {
  greg_t* registers = ((ucontext_t*)context)->uc_mcontext.gregs;
  const unsigned long at = (unsigned long)registers[REG_RIP], stack = (unsigned long)registers[REG_RSP];
  (void)number;
  (void)info;
  if (active) {
    if (stack > frame) { /* it has returned */
      active = 0;
      if (++runs >= wanted) registers[REG_EFL] &= ~TRAP_FLAG;
      return;
    }
    counts[runs]++;
  } else if (at == entry) {
    active = 1;
    frame = stack;
  }
}

static void on_start(int number, siginfo_t* info, void* context) {
  (void)number;
  (void)info;
  ((ucontext_t*)context)->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

/* start(thread, address, runs) */
static napi_value start(napi_env env, napi_callback_info info) {
  size_t count = 3;
  napi_value given[3];
  double numbers[3] = {0};
  napi_get_cb_info(env, info, &count, given, NULL, NULL);
  for (size_t i = 0; i < count; ++i) napi_get_value_double(env, given[i], &numbers[i]);
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  action.sa_sigaction = on_trap;
  sigaction(SIGTRAP, &action, NULL);
  action.sa_sigaction = on_start;
  sigaction(SIGUSR2, &action, NULL);
  runs = active = 0;
  wanted = (int)numbers[2];
  entry = (unsigned long)numbers[1];
  memset((void*)counts, 0, sizeof counts);
  syscall(SYS_tgkill, getpid(), (pid_t)numbers[0], SIGUSR2);
  return NULL;
}

/* counts(): of the runs that have ended */
static napi_value ended(napi_env env, napi_callback_info info) {
  napi_value list, number;
  (void)info;
  napi_create_array(env, &list);
  for (int i = 0; i < runs; ++i) {
    napi_create_double(env, (double)counts[i], &number);
    napi_set_element(env, list, (uint32_t)i, number);
  }
  return list;
}

NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, "start", NAPI_AUTO_LENGTH, start, NULL, &function);
  napi_set_named_property(env, exports, "start", function);
  napi_create_function(env, "counts", NAPI_AUTO_LENGTH, ended, NULL, &function);
  napi_set_named_property(env, exports, "counts", function);
  return exports;
}
