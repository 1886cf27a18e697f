#pragma once
// Tests that run unchanged on the emulator and on a GPU: each launches kernels made of primitives and compares what
// they wrote with plain C++. main.cu runs them.
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "cuda/launch.h"
#include "cuda/prim/prim.h"
#ifdef __CUDACC__
#include <cuda_runtime_api.h>
#else
#include "simt/faults.h"
#endif

namespace hb::cuda::conformance {

/// Collects what a test finds wrong.
class Check {
 public:
  explicit Check(void* stream) : stream_(stream) {}

  /// What launch() takes.
  void* stream() const { return stream_; }

  __attribute__((format(printf, 3, 4))) void that(bool good, const char* format, ...) {
    if (good) return;
    char text[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    add(text);
  }
  void ran(const Status& status) {
    if (!status.ok()) add(status.message);
  }
  /// The launch must have failed, with each of these in its words.
  template <class... W>
  void failed(const Status& status, const W&... words) {
    if (status.ok()) return add("nothing was reported");
    (void)((status.message.find(words) != std::string::npos ||
            (add("reported, but otherwise: " + status.message), false)) &&
           ...);
  }
  template <class T>
  void equal(const std::vector<T>& got, const std::vector<T>& want, const char* what) {
    for (size_t i = 0; i < want.size(); ++i) {
      if (std::memcmp(&got[i], &want[i], sizeof(T)) == 0) continue;
      that(false, "%s: element %zu is %.9g, not %.9g", what, i, static_cast<double>(got[i]),
           static_cast<double>(want[i]));
      return;
    }
  }
  const std::string& wrong() const { return wrong_; }

 private:
  void add(const std::string& text) {
    if (wrong_.size() < 2000) wrong_ += (wrong_.empty() ? "" : "; ") + text;
  }
  void* stream_;
  std::string wrong_;
};

/// Device memory; begins as 0xFF in every byte.
template <class T>
class Array {
 public:
  explicit Array(size_t n) : n_(n) {
    const std::vector<unsigned char> poison(n * sizeof(T), 0xFF);
#ifdef __CUDACC__
    cudaMalloc(reinterpret_cast<void**>(&data_), n * sizeof(T));
    cudaMemcpy(data_, poison.data(), poison.size(), cudaMemcpyHostToDevice);
#else
    data_ = static_cast<T*>(simt::guarded_allocate(n * sizeof(T)));
#endif
  }
  explicit Array(const std::vector<T>& values) : Array(values.size()) {
#ifdef __CUDACC__
    cudaMemcpy(data_, values.data(), n_ * sizeof(T), cudaMemcpyHostToDevice);
#else
    std::memcpy(data_, values.data(), n_ * sizeof(T));
#endif
  }
  ~Array() {
#ifdef __CUDACC__
    cudaFree(data_);
#else
    simt::guarded_free(data_);
#endif
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  T* device() const { return data_; }
  /// Waits for the device.
  std::vector<T> read() const {
    std::vector<T> values(n_);
#ifdef __CUDACC__
    cudaMemcpy(values.data(), data_, n_ * sizeof(T), cudaMemcpyDeviceToHost);
#else
    std::memcpy(values.data(), data_, n_ * sizeof(T));
#endif
    return values;
  }

 private:
  size_t n_;
  T* data_ = nullptr;
};

/// Repeatable rubbish: splitmix64.
class Numbers {
 public:
  explicit Numbers(uint64_t seed) : state_(seed) {}
  uint64_t bits() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
  }
  int below(int n) { return static_cast<int>(bits() % static_cast<uint64_t>(n)); }
  /// In (-1, 1), with 24 bits.
  float unit() {
    return static_cast<float>(static_cast<int64_t>(bits() >> 40) - (1 << 23)) / static_cast<float>(1 << 23);
  }

 private:
  uint64_t state_;
};

struct Test {
  const char* name;
  void (*run)(Check&);
};
std::vector<Test>& tests();
struct Registration {
  Registration(const char* name, void (*run)(Check&)) { tests().push_back({name, run}); }
};

#define HB_TEST(name)                                                                  \
  static void name(::hb::cuda::conformance::Check&);                                   \
  static const ::hb::cuda::conformance::Registration registration_##name(#name, name); \
  static void name(::hb::cuda::conformance::Check& check)

}  // namespace hb::cuda::conformance
