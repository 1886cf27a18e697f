// Runs the tests: `simt_tests [WORD...]`, those whose name has one of the words. A line per test, "ok NAME" or
// "not ok NAME: what is wrong"; exit status 1 when one failed. On the emulator every test runs in order and under two
// random schedules.
#include <algorithm>

#include "cuda/conformance/kit.h"

namespace hb::cuda::conformance {

std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

namespace {

std::string run(const Test& test) {
#ifdef __CUDACC__
  Check check(nullptr);
  test.run(check);
  const cudaError_t error = cudaDeviceSynchronize();
  return error == cudaSuccess ? check.wrong() : check.wrong() + cudaGetErrorString(error);
#else
  for (uint64_t seed = 0; seed < 3; ++seed) {
    simt::Options options;
    options.seed = seed;
    Check check(&options);
    test.run(check);
    if (!check.wrong().empty()) return check.wrong() + " (schedule " + std::to_string(seed) + ")";
  }
  return {};
#endif
}

int run_all(int words, char** word) {
  std::sort(tests().begin(), tests().end(),
            [](const Test& a, const Test& b) { return std::strcmp(a.name, b.name) < 0; });
  int failures = 0;
  for (const Test& test : tests()) {
    bool wanted = words == 0;
    for (int i = 0; i < words; ++i) wanted = wanted || std::strstr(test.name, word[i]);
    if (!wanted) continue;
    std::string wrong = run(test);
    std::replace(wrong.begin(), wrong.end(), '\n', ' ');
    if (wrong.empty()) {
      std::printf("ok %s\n", test.name);
    } else {
      ++failures;
      std::printf("not ok %s: %s\n", test.name, wrong.c_str());
    }
    std::fflush(stdout);
  }
  return failures ? 1 : 0;
}

}  // namespace
}  // namespace hb::cuda::conformance

int main(int count, char** arguments) { return hb::cuda::conformance::run_all(count - 1, arguments + 1); }
