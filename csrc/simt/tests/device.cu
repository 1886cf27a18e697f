// What a device is made of besides kernels: its memory and its queue.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>

#include "cuda/conformance/kit.h"
#include "simt/heap.h"
#include "simt/stream.h"

namespace hb::cuda::conformance {
namespace {

/// What a child process said before it ended, and by which signal it did.
template <class F>
std::pair<std::string, int> in_a_child(F&& work) {
  int ends[2];
  if (pipe(ends) != 0) return {"no pipe", 0};
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    work();
    _exit(0);
  }
  close(ends[1]);
  std::string said;
  char buffer[512];
  for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) said.append(buffer, static_cast<size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return {said, WIFSIGNALED(status) ? WTERMSIG(status) : 0};
}

HB_TEST(planted_host_access) {
  const auto touch = [](bool closes, bool opened) {
    return in_a_child([=] {
      simt::Heap heap(closes);
      volatile char* block = static_cast<char*>(heap.take(100));
      if (opened) heap.open();
      block[8] = block[9];
    });
  };
  const auto [said, signal] = touch(true, false);
  check.that(signal == SIGSEGV, "the host's access ended with signal %d", signal);
  check.that(said.find("byte 9 of a device buffer of 100 bytes") != std::string::npos, "it said: %s", said.c_str());
  check.that(touch(true, true).second == 0, "open memory was not accessible");
  check.that(touch(false, false).second == 0, "memory that does not close was not accessible");
}

HB_TEST(stream_in_order_and_late) {
  std::string order;
  std::atomic<bool> go{false};
  simt::Stream stream(false, [] {}, [] {});
  stream.submit([&] {
    while (!go) usleep(100);
    order += "a";
    return std::string();
  });
  const auto fence = std::make_shared<simt::Fence>();
  stream.record(fence);
  check.that(!fence->passed, "the fence passed before the work");
  go = true;
  stream.begin_capture();
  for (const char* name : {"b", "c"})
    stream.submit([&order, name] {
      order += name;
      return std::string();
    });
  stream.finally([&order] { order += "!"; });  // no part of the graph
  const auto graph = stream.end_capture();
  stream.wait(fence);
  for (int i = 0; i < 2; ++i) stream.launch(graph);
  stream.record(fence);
  check.that(stream.wait(fence).empty(), "the stream failed");
  check.that(order == "a!bcbc", "the order was %s", order.c_str());
}

HB_TEST(stream_after_a_failure) {
  simt::Stream stream(false, [] {}, [] {}, 2);
  int ran = 0;
  const auto work = [&] {
    ++ran;
    return std::string();
  };
  const auto fence = std::make_shared<simt::Fence>();
  for (int i = 0; i < 4; ++i) stream.submit(work);
  stream.record(fence);
  check.that(stream.wait(fence) == "work 2 was to fail", "the failure was not told");
  check.that(ran == 1, "%d pieces of work ran", ran);
  check.that(!stream.submit(work).empty(), "a failed stream took work");
}

HB_TEST(stream_abandoned) {
  std::atomic<bool> begun{false}, go{false};
  int ran = 0;
  simt::Stream stream(false, [] {}, [] {});
  stream.submit([&] {
    begun = true;
    while (!go) usleep(100);
    return std::string();
  });
  for (int i = 0; i < 100; ++i)
    stream.submit([&] {
      ++ran;
      return std::string();
    });
  const auto fence = std::make_shared<simt::Fence>();
  stream.record(fence);
  while (!begun) usleep(100);
  stream.abandon();
  go = true;
  check.that(stream.wait(fence).empty(), "it failed");
  check.that(ran == 0 && stream.dropped(), "%d pieces of work ran", ran);
}

}  // namespace
}  // namespace hb::cuda::conformance
