#include "cuda/element.h"
#include "cuda/indices.h"

namespace hb::cuda {
namespace {

template <class T, class O, bool wide>
struct Pick {
  static constexpr int kStep = wide ? kWide : 1;
  O* out;
  const T* table;
  const int32_t *ids, *rows;
  int n, d, size;
  uint32_t* flags;
  HB_DEVICE void operator()(int row, int column) const {
    if (row >= live_count(rows, n)) return;
    float v[kStep];
    load_step<wide>(v,
                    table + int64_t{clamp_index(ids[row], size, column == 0 ? flags : nullptr)} * d + column * kStep);
    store_step<wide>(out + int64_t{row} * d + column * kStep, v);
  }
};

template <class T, class A, class B, bool wide>
struct Add {
  static constexpr int kStep = wide ? kWide : 1;
  T* out;
  const T* x;
  const A* table;
  const B* table2;
  const int32_t *ids, *ids2, *rows;
  int n, d, size, size2;
  uint32_t* flags;
  HB_DEVICE void operator()(int row, int column) const {
    if (row >= live_count(rows, n)) return;
    const int64_t at = int64_t{row} * d + column * kStep;
    float v[kStep], w[kStep];
    load_step<wide>(v, x + at);
    if (table2) {
      load_step<wide>(
          w, table2 + int64_t{clamp_index(ids2[row], size2, column == 0 ? flags : nullptr)} * d + column * kStep);
      HB_UNROLL
      for (int i = 0; i < kStep; ++i) v[i] = add_rn(v[i], w[i]);
    }
    load_step<wide>(w,
                    table + int64_t{clamp_index(ids[row], size, column == 0 ? flags : nullptr)} * d + column * kStep);
    HB_UNROLL
    for (int i = 0; i < kStep; ++i) v[i] = add_rn(v[i], w[i]);
    store_step<wide>(out + at, v);
  }
};

template <class T>
const T* optional(const TensorView& t) {
  return t ? t.as<const T>() : nullptr;
}

}  // namespace

Status embedding_cuda(const OpContext& cx, const Embedding& a) {
  const int64_t n = a.ids.dims[0], d = a.table.dims[1];
  return with_types(a.table, a.out, [&](auto* t, auto* o) {
    using T = std::remove_reference_t<decltype(*t)>;
    using O = std::remove_reference_t<decltype(*o)>;
    const auto run = [&](auto body) {
      body = {a.out.as<O>(),
              a.table.as<T>(),
              a.ids.as<int32_t>(),
              optional<int32_t>(a.rows),
              static_cast<int>(n),
              static_cast<int>(d),
              static_cast<int>(a.table.dims[0]),
              device(cx).flags};
      return each_in_rows(cx, n, d / body.kStep, body);
    };
    return d % kWide == 0 && aligned16(a.table, a.out) ? run(Pick<T, O, true>()) : run(Pick<T, O, false>());
  });
}

Status embed_add_cuda(const OpContext& cx, const EmbedAdd& a) {
  const int64_t n = a.x.dims[0], d = a.x.dims[1];
  return with_types(a.x, a.table, [&](auto* t, auto* first) {
    return with_type(a.table2, [&](auto* second) {
      using T = std::remove_reference_t<decltype(*t)>;
      using A = std::remove_reference_t<decltype(*first)>;
      using B = std::remove_reference_t<decltype(*second)>;
      const auto run = [&](auto body) {
        body = {a.out.as<T>(),
                a.x.as<T>(),
                a.table.as<A>(),
                optional<B>(a.table2),
                a.ids.as<int32_t>(),
                optional<int32_t>(a.ids2),
                optional<int32_t>(a.rows),
                static_cast<int>(n),
                static_cast<int>(d),
                static_cast<int>(a.table.dims[0]),
                a.table2 ? static_cast<int>(a.table2.dims[0]) : 0,
                device(cx).flags};
        return each_in_rows(cx, n, d / body.kStep, body);
      };
      const bool wide = d % kWide == 0 && aligned16(a.x, a.table, a.table2, a.out);
      return wide ? run(Add<T, A, B, true>()) : run(Add<T, A, B, false>());
    });
  });
}

}  // namespace hb::cuda
