// Bits, roundings, conversions, functions and noise.
#include <bit>
#include <cmath>

#include "core/dtype.h"
#include "cuda/conformance/kit.h"
#include "cuda/prim/noise.h"

namespace hb::cuda::conformance {
namespace {

constexpr size_t kThreads = 256;

HB_KERNEL void count_bits(const uint64_t* in, int32_t* out) {
  const unsigned t = thread_x(), n = threads_x();
  const uint64_t v = in[t];
  const uint32_t w = static_cast<uint32_t>(v);
  out[t] = popcount(v), out[n + t] = popcount(w);
  out[2 * n + t] = leading_zeros(v), out[3 * n + t] = leading_zeros(w);
  out[4 * n + t] = first_set(v), out[5 * n + t] = first_set(w);
  out[6 * n + t] = static_cast<int32_t>(multiply_high(w, static_cast<uint32_t>(v >> 32)));
  out[7 * n + t] = opaque(static_cast<int32_t>(w));
}

HB_TEST(bits) {
  Numbers r(10);
  std::vector<uint64_t> in(kThreads);
  for (size_t i = 0; i < kThreads; ++i) in[i] = i == 0 ? 0 : r.bits() >> r.below(64) << r.below(40);
  const Array<uint64_t> from(in);
  Array<int32_t> out(8 * kThreads);
  check.ran(launch(check.stream(), count_bits, {1}, {kThreads}, 0, from.device(), out.device()));
  std::vector<int32_t> want(8 * kThreads);
  for (size_t t = 0; t < kThreads; ++t) {
    int ones[2] = {}, zeros[2] = {64, 32}, first[2] = {};
    for (int b = 63; b >= 0; --b)
      for (int narrow = 0; narrow < 2; ++narrow) {
        if ((narrow && b > 31) || !(in[t] >> b & 1)) continue;
        const int top = narrow ? 31 : 63;
        if (ones[narrow]++ == 0) zeros[narrow] = top - b;
        first[narrow] = b + 1;
      }
    const uint64_t high = (in[t] & 0xffffffffu) * (in[t] >> 32) >> 32;
    const int32_t list[] = {ones[0],
                            ones[1],
                            zeros[0],
                            zeros[1],
                            first[0],
                            first[1],
                            static_cast<int32_t>(static_cast<uint32_t>(high)),
                            static_cast<int32_t>(static_cast<uint32_t>(in[t]))};
    for (size_t i = 0; i < 8; ++i) want[i * kThreads + t] = list[i];
  }
  check.equal(out.read(), want, "counts");
}

HB_KERNEL void round_all(const float* in, float* out, int32_t* ints) {
  const unsigned t = thread_x(), n = threads_x();
  const float a = in[t], b = in[(t + 1) % n], c = in[(t + 2) % n];
  out[t] = add_rn(a, b), out[n + t] = sub_rn(a, b), out[2 * n + t] = mul_rn(a, b), out[3 * n + t] = div_rn(a, b);
  out[4 * n + t] = fma_rn(a, b, c), out[5 * n + t] = sqrt_rn(a < 0 ? -a : a);
  out[6 * n + t] = a * b + c;  // two roundings: nothing is contracted
  out[7 * n + t] = as_f32(as_u32(a) ^ 0x80000000u);
  ints[t] = round_to_i32(a), ints[n + t] = truncate_to_i32(a);
}

HB_TEST(roundings) {
  Numbers r(11);
  std::vector<float> in(kThreads);
  for (size_t i = 0; i < kThreads; ++i) in[i] = std::ldexp(r.unit(), r.below(24) - 4);
  in[3] = 2.5f, in[4] = 3.5f, in[5] = -2.5f, in[6] = 1e-39f, in[7] = 1e-40f;  // ties, and numbers below the normal ones
  const Array<float> from(in);
  Array<float> out(8 * kThreads);
  Array<int32_t> ints(2 * kThreads);
  check.ran(launch(check.stream(), round_all, {1}, {kThreads}, 0, from.device(), out.device(), ints.device()));
  std::vector<float> want(8 * kThreads);
  std::vector<int32_t> want_ints(2 * kThreads);
  for (size_t t = 0; t < kThreads; ++t) {
    const float a = in[t], b = in[(t + 1) % kThreads], c = in[(t + 2) % kThreads];
    const volatile float product = a * b;
    const float list[] = {a + b, a - b, product, a / b, std::fma(a, b, c), std::sqrt(std::fabs(a)), product + c, -a};
    for (size_t i = 0; i < 8; ++i) want[i * kThreads + t] = list[i];
    want_ints[t] = static_cast<int32_t>(std::nearbyint(a)), want_ints[kThreads + t] = static_cast<int32_t>(a);
  }
  check.equal(out.read(), want, "rounded");
  check.equal(ints.read(), want_ints, "integers");
}

HB_KERNEL void convert_all(const float* in, uint16_t* out, uint32_t* pairs, float* back, int n) {
  const int i = static_cast<int>(block_x() * threads_x() + thread_x());
  if (i >= n) return;
  out[i] = narrow<uint16_t>(in[i]);
  pairs[i] = pack_bf16(in[i], in[(i + 1) % n]);
  const uint32_t pair = pack_bf16(in[i], in[i]);
  back[i] = widen(out[i]) == bf16_low(pair) && bf16_low(pair) == bf16_high(pair) ? bf16_to_f32(out[i]) : -1e30f;
}

HB_TEST(bf16) {
  std::vector<float> in;
  // Every sign and exponent with mantissas around the halfway points.
  for (uint32_t top = 0; top < 0x10000; top += 0x40)
    for (uint32_t low : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0x18000u, 0xffffu}) {
      const uint32_t u = (top << 16) + low;
      if ((u & 0x7fffffffu) > 0x7f800000u) continue;
      in.push_back(std::bit_cast<float>(u));
    }
  const int n = static_cast<int>(in.size());
  std::vector<uint16_t> want(in.size());
  std::vector<uint32_t> want_pairs(in.size());
  std::vector<float> want_back(in.size());
  for (size_t i = 0; i < in.size(); ++i) {
    want[i] = hb::f32_to_bf16(in[i]), want_back[i] = hb::bf16_to_f32(want[i]);
    want_pairs[i] = want[i] | static_cast<uint32_t>(hb::f32_to_bf16(in[(i + 1) % in.size()])) << 16;
  }
  in.push_back(std::nanf(""));  // a NaN stays one
  const Array<float> from(in);
  Array<uint16_t> out(in.size());
  Array<uint32_t> pairs(in.size());
  Array<float> back(in.size());
  const unsigned blocks = (static_cast<unsigned>(n) + kThreads - 1) / kThreads;
  check.ran(launch(check.stream(), convert_all, {blocks}, {kThreads}, 0, from.device(), out.device(), pairs.device(),
                   back.device(), n));
  check.equal(out.read(), want, "narrowed");
  check.equal(pairs.read(), want_pairs, "packed");
  check.equal(back.read(), want_back, "widened");
  check.ran(launch(check.stream(), convert_all, {1}, {32}, 0, from.device() + n, out.device(), pairs.device(),
                   back.device(), 1));
  check.that((out.read()[0] & 0x7fffu) > 0x7f80u, "a NaN became %x", out.read()[0]);
}

HB_KERNEL void angles(const float* in, float* out) {
  sin_cos(in[thread_x()], out[thread_x()], out[threads_x() + thread_x()]);
}

HB_TEST(sines_and_cosines) {
  Numbers r(13);
  std::vector<float> in(kThreads);
  for (size_t i = 0; i < kThreads; ++i) in[i] = std::ldexp(r.unit(), static_cast<int>(i % 31));
  in[0] = 0, in[1] = 1.5707964f, in[2] = -3.1415927f, in[3] = 32767.0f, in[4] = 2147483648.0f, in[5] = 1e15f;
  const Array<float> from(in);
  Array<float> out(2 * kThreads);
  check.ran(launch(check.stream(), angles, {1}, {kThreads}, 0, from.device(), out.device()));
  const std::vector<float> got = out.read();
  for (size_t t = 0; t < kThreads; ++t) {
    const double want[] = {std::sin(static_cast<double>(in[t])), std::cos(static_cast<double>(in[t]))};
    for (size_t i = 0; i < 2; ++i) {
      const double error = std::fabs(got[i * kThreads + t] - want[i]);
      check.that(error <= 6.1e-8 * std::fabs(want[i]) + 1e-15, "%s of %.9g is off by %g", i ? "cosine" : "sine", in[t],
                 error);
    }
  }
}

HB_KERNEL void functions(const float* in, float* out) {
  const unsigned t = thread_x(), n = threads_x();
  const float v = in[t], positive = v < 0 ? -v : v;
  out[t] = fast_exp2(v), out[n + t] = exp_f32(v), out[2 * n + t] = log_f32(positive), out[3 * n + t] = tanh_f32(v);
}

HB_TEST(functions_of_f32) {
  Numbers r(12);
  std::vector<float> in(kThreads);
  for (auto& v : in) v = r.unit() * 20;
  const Array<float> from(in);
  Array<float> out(4 * kThreads);
  check.ran(launch(check.stream(), functions, {1}, {kThreads}, 0, from.device(), out.device()));
  const std::vector<float> got = out.read();
  const char* const names[] = {"exp2", "exp", "log", "tanh"};
  for (size_t t = 0; t < kThreads; ++t) {
    const double v = in[t];
    const double want[] = {std::exp2(v), std::exp(v), std::log(std::fabs(v)), std::tanh(v)};
    for (size_t i = 0; i < 4; ++i) {
      const double error = std::fabs(got[i * kThreads + t] - want[i]);
      check.that(error <= 5e-7 * (std::fabs(want[i]) + (i >= 2 ? 1 : 0)), "%s of %g is off by %g", names[i], v, error);
    }
  }
}

HB_KERNEL void functions_double(const double* in, double* out) {
  const unsigned t = thread_x(), n = threads_x();
  const double v = in[t], positive = v < 0 ? -v : v;
  out[t] = exp_f64(v), out[n + t] = log_f64(positive);
  out[2 * n + t] = pow_f64(positive, v), out[3 * n + t] = sqrt_f64(positive);
}

HB_TEST(functions_of_f64) {
  Numbers r(13);
  std::vector<double> in(kThreads);
  for (size_t i = 0; i < kThreads; ++i) in[i] = r.unit() * 20;
  const Array<double> from(in);
  Array<double> out(4 * kThreads);
  check.ran(launch(check.stream(), functions_double, {1}, {kThreads}, 0, from.device(), out.device()));
  const std::vector<double> got = out.read();
  const char* const names[] = {"exp", "log", "pow", "sqrt"};
  for (size_t t = 0; t < kThreads; ++t) {
    const double v = in[t], positive = std::fabs(v);
    const double want[] = {std::exp(v), std::log(positive), std::pow(positive, v), std::sqrt(positive)};
    for (size_t i = 0; i < 4; ++i) {
      const double g = got[i * kThreads + t];
      check.that(g == want[i] || std::fabs(g - want[i]) <= 2e-15 * (std::fabs(want[i]) + (i == 1 ? 1 : 0)),
                 "%s of %g is off by %g", names[i], v, g - want[i]);
    }
  }
}

HB_KERNEL void draw(uint32_t* words, float* normals, float* gumbels, float* powers) {
  const unsigned i = block_x() * threads_x() + thread_x();
  const uint32_t seed[2] = {0x12345678u, 0x9abcdef0u};
  int32_t word[4];
  float z[4];
  philox_words(seed, i, 77, Purpose::latent, 3, word);
  normal_draws(word, z);
  HB_UNROLL
  for (unsigned j = 0; j < 4; ++j) {
    words[4 * i + j] = static_cast<uint32_t>(word[j]), normals[4 * i + j] = z[j];
    gumbels[4 * i + j] = gumbel_draw(word[j]);
    powers[4 * i + j] = noise::noise_exp(z[j] < 0 ? 20 * z[j] : -20 * z[j]);
  }
}

// The host's own copies of the functions: the same text with the host's operations.
namespace host {
using V = float;
using VI = int32_t;
inline V set1(float v) { return v; }
inline V zero() { return 0.0f; }
inline V add(V a, V b) { return a + b; }
inline V sub(V a, V b) { return a - b; }
inline V mul(V a, V b) { return a * b; }
inline V fma(V a, V b, V c) { return __builtin_fmaf(a, b, c); }
inline V vsqrt(V v) { return __builtin_sqrtf(v); }
inline V vmax(V a, V b) { return a > b ? a : b; }
inline V select_lt(V a, V b, V yes, V no) { return a < b ? yes : no; }
inline VI iset1(int v) { return v; }
inline VI iadd(VI a, VI b) { return static_cast<VI>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b)); }
inline VI isub(VI a, VI b) { return static_cast<VI>(static_cast<uint32_t>(a) - static_cast<uint32_t>(b)); }
inline VI iand(VI a, VI b) { return a & b; }
inline VI ixor(VI a, VI b) { return a ^ b; }
template <int n>
VI shl(VI v) {
  return static_cast<VI>(static_cast<uint32_t>(v) << n);
}
template <int n>
VI shr(VI v) {
  return static_cast<VI>(static_cast<uint32_t>(v) >> n);
}
inline VI as_int(V v) { return std::bit_cast<VI>(v); }
inline V as_float(VI v) { return std::bit_cast<V>(v); }
inline V to_float(VI v) { return static_cast<float>(v); }
inline VI to_int(V v) { return static_cast<VI>(std::nearbyintf(v)); }
#define HB_NOISE inline
#include "core/noise_math.inl"
#undef HB_NOISE
}  // namespace host

HB_TEST(noise_bits) {
  constexpr size_t kDraws = 4 * 8 * kThreads;
  Array<uint32_t> words(kDraws);
  Array<float> normals(kDraws), gumbels(kDraws), powers(kDraws);
  check.ran(launch(check.stream(), draw, {8}, {kThreads}, 0, words.device(), normals.device(), gumbels.device(),
                   powers.device()));
  std::vector<uint32_t> want_words(kDraws);
  std::vector<float> want_normals(kDraws), want_gumbels(kDraws), want_powers(kDraws);
  double sum = 0, squares = 0, gumbel = 0;
  for (size_t i = 0; i < kDraws; i += 4) {
    const Philox4 p =
        philox(0x12345678u, 0x9abcdef0u, static_cast<uint32_t>(i / 4), 77, purpose_word(Purpose::latent), 3);
    int32_t word[4];
    float z[4];
    for (size_t j = 0; j < 4; ++j) want_words[i + j] = p.word[j], word[j] = static_cast<int32_t>(p.word[j]);
    host::normals_of(word, z);
    for (size_t j = 0; j < 4; ++j) {
      want_normals[i + j] = z[j], want_gumbels[i + j] = host::gumbel_of(word[j]);
      want_powers[i + j] = host::noise_exp(z[j] < 0 ? 20 * z[j] : -20 * z[j]);
      sum += z[j], squares += z[j] * z[j], gumbel += want_gumbels[i + j];
    }
  }
  check.equal(words.read(), want_words, "Philox words");
  check.equal(normals.read(), want_normals, "normal draws");
  check.equal(gumbels.read(), want_gumbels, "Gumbel draws");
  check.equal(powers.read(), want_powers, "powers of e");
  // Means within five standard errors: 0, 1 and Euler's constant.
  const double n = static_cast<double>(kDraws);
  check.that(std::fabs(sum / n) < 5 / std::sqrt(n), "mean of normal draws %g", sum / n);
  check.that(std::fabs(squares / n - 1) < 5 * std::sqrt(2 / n), "variance of normal draws %g", squares / n);
  check.that(std::fabs(gumbel / n - 0.5772) < 5 * 1.2825 / std::sqrt(n), "mean of Gumbel draws %g", gumbel / n);
}

}  // namespace
}  // namespace hb::cuda::conformance
