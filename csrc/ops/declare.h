#pragma once
#include <limits>

#include "ops/schema.h"

/// Shorthands for contract headers. Each `X` is the struct that is being described.
namespace hb {

inline constexpr double kNone = std::numeric_limits<double>::quiet_NaN();  ///< an attribute without default
inline constexpr double kHuge = 9007199254740991.0;                        ///< 2^53 - 1

#define HB_IN(X, name, dtypes, type, dims, note) {#name, Role::in, dtypes, type, dims, HB_AT(X, name), kRequired, note}
#define HB_OPT(X, name, dtypes, type, dims, note) {#name, Role::in, dtypes, type, dims, HB_AT(X, name), kOptional, note}
#define HB_WEIGHT(X, name, dtypes, type, dims, flags, note) \
  {#name, Role::in, dtypes, type, dims, HB_AT(X, name), static_cast<uint8_t>(kMayBePacked | (flags)), note}
#define HB_OUT(X, name, dtypes, type, dims, note) \
  {#name, Role::out, dtypes, type, dims, HB_AT(X, name), kRequired, note}
/// An Out operand that exists only when the op's rules set its `present`.
#define HB_OUT_IF(X, name, dtypes, type, dims, note) \
  {#name, Role::out, dtypes, type, dims, HB_AT(X, name), kOptional, note}
#define HB_STATE(X, name, dtypes, type, dims, note) \
  {#name, Role::inout, dtypes, type, dims, HB_AT(X, name), kRequired, note}
/// State that an op works without; when it is there the op reads and replaces it.
#define HB_STATE_OPT(X, name, dtypes, type, dims, note) \
  {#name, Role::inout, dtypes, type, dims, HB_AT(X, name), kOptional, note}
#define HB_ROWS(X) \
  HB_OPT(X, rows, kI32, '-', "1", "live rows: rows at or beyond this count are neither read nor written")
#define HB_SPLIT(X)                \
  HB_OPT(X, split, kI32, '-', "1", \
         "first row of the second expert: rows below it use the plain weights, the others the `_gen` ones")

#define HB_INT(X, name, min, max, fallback, note) \
  {#name, AttributeKind::integer, HB_AT(X, name), min, max, fallback, nullptr, note}
#define HB_REAL(X, name, min, max, fallback, note) \
  {#name, AttributeKind::real, HB_AT(X, name), min, max, fallback, nullptr, note}
#define HB_CHOICE(X, name, choices, note) {#name, AttributeKind::choice, HB_AT(X, name), 0, 0, 0, choices, note}
/// Output dtype; binds type variable 'O'. Without a value it is the dtype of 'T'.
#define HB_DTYPE(X, name, note) {#name, AttributeKind::dtype, HB_AT(X, name), 0, 0, -1, nullptr, note}

template <class X, size_t O, size_t A>
constexpr Contract contract(const char* name, const char* summary, const char* formula, const Operand (&operands)[O],
                            const Attribute (&attributes)[A], Status (*rules)(void*), Cost (*cost)(const void*),
                            const char* live_dim = nullptr) {
  return {name, summary, formula, operands, O, attributes, A, sizeof(X), rules, cost, live_dim};
}

template <class X, size_t O>
constexpr Contract contract(const char* name, const char* summary, const char* formula, const Operand (&operands)[O],
                            Status (*rules)(void*), Cost (*cost)(const void*), const char* live_dim = nullptr) {
  return {name, summary, formula, operands, O, nullptr, 0, sizeof(X), rules, cost, live_dim};
}

/// Says that an op is for the CPU alone, and why.
constexpr Contract on_cpu_only(Contract c, const char* reason) {
  c.cpu_only = reason;
  return c;
}

/// Says that an op's cost depends on what its operands hold.
constexpr Contract costing_data(Contract c) {
  c.costs_data = true;
  return c;
}

/// Sets an Out operand's dims from a rule.
template <class... D>
void set_dims(TensorView& t, D... dims) {
  const int64_t list[] = {static_cast<int64_t>(dims)...};
  t.rank = static_cast<int32_t>(sizeof...(D));
  for (int i = 0; i < t.rank; ++i) t.dims[i] = list[i];
}

/// The second expert's operands come together or not at all.
inline Status check_experts(const TensorView& split, const TensorView& gen, const char* gen_name) {
  if (split.present == gen.present) return Status::success();
  return Status::mismatch(Code::BAD_SHAPE, split ? gen_name : "split", std::string(gen_name) + " and split together",
                          "only one of them");
}

inline std::string num(int64_t v) { return std::to_string(v); }

}  // namespace hb
