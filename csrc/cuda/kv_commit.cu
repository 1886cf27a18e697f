// Keys and values of accepted nodes move to where plain decoding would have put them.
//
// Cost: four accepted nodes of the 7B model that lie elsewhere move 0.5 MB; the launch takes longer.
#include "cuda/flags.h"
#include "cuda/kernels.h"
#include "cuda/launch.h"
#include "cuda/prim/prim.h"

namespace hb::cuda {
namespace {

constexpr int kThreads = 128, kTogether = 8;  // moves whose loads are under way at once
constexpr int kSlots = static_cast<int>(kPageSlots);

template <class T>
struct Args {
  T *k_cache, *v_cache;
  const int32_t *page_table, *path, *accepted, *slots;
  uint32_t* flags;
  int pages, groups, d, batch, table, width;  // pages: of one layer
};

/// The place of a slot in a layer's pages, page * 64 + slot in it; -1: it has none.
template <class T>
HB_DEVICE int64_t place_of(const Args<T>& a, int sequence, int64_t slot) {
  if (slot < 0 || slot >= int64_t{a.table} * kSlots) return -1;
  const int page = a.page_table[int64_t{sequence} * a.table + slot / kSlots];
  return page >= 0 && page < a.pages ? int64_t{page} * kSlots + slot % kSlots : -1;
}

/// Moves column `column` of the keys, or part `column` of kParts elements of the values, of each accepted node. Moves
/// stay with their thread and in order: no later source lies where an earlier move wrote (path[j] >= j), so that loads
/// of several moves may go before their stores.
template <bool kKeys, int kParts, class T>
HB_DEVICE void move_column(const Args<T>& a, int sequence, int layer, int group, int column, int count, int64_t base) {
  const auto at = [&](int64_t place) {
    const int64_t head = (int64_t{layer} * a.pages + place / kSlots) * a.groups + group;
    return kKeys ? a.k_cache + (head * a.d + column) * kSlots + place % kSlots
                 : a.v_cache + (head * kSlots + place % kSlots) * a.d + int64_t{column} * kParts;
  };
  for (int first = 1; first < count; first += kTogether) {
    T* to[kTogether];
    T element[kTogether];
    Vec16 part[kTogether];
    HB_UNROLL
    for (int i = 0; i < kTogether; ++i) {
      const int j = first + i, node = j < count ? a.path[int64_t{sequence} * a.width + j] : 0;
      to[i] = nullptr;
      if (node <= j) continue;  // in place, or wrong
      const int64_t source = place_of(a, sequence, base + node), target = place_of(a, sequence, base + j);
      if (source < 0 || target < 0) continue;
      to[i] = at(target);
      if constexpr (kParts == 1) {
        element[i] = *at(source);
      } else {
        part[i] = load16(at(source));
      }
    }
    HB_UNROLL
    for (int i = 0; i < kTogether; ++i) {
      if (!to[i]) continue;
      if constexpr (kParts == 1) {
        *to[i] = element[i];
      } else {
        store16(to[i], part[i]);
      }
    }
  }
}

/// Block x: a head of a layer; y: a sequence.
template <class T, bool kWide>
HB_KERNEL void HB_BOUNDS(kThreads, 4) commit_kernel(Args<T> a) {
  constexpr int kParts = kWide ? 16 / static_cast<int>(sizeof(T)) : 1;
  const int layer = static_cast<int>(block_x()) / a.groups, group = static_cast<int>(block_x()) % a.groups;
  const int sequence = static_cast<int>(block_y()), thread = static_cast<int>(thread_x());
  const int accepted = a.accepted[sequence], count = accepted < 0 ? 0 : accepted > a.width ? a.width : accepted;
  const int64_t base = int64_t{a.slots[sequence]} - count;
  if (block_x() == 0) {
    bool bad = thread == 0 && count != accepted;
    for (int j = 1 + thread; j < count; j += kThreads) {
      const int node = a.path[int64_t{sequence} * a.width + j];
      bad = bad || node < j ||
            (node > j && (place_of(a, sequence, base + node) < 0 || place_of(a, sequence, base + j) < 0));
    }
    if (bad) raise<kFlagIndexClamped>(a.flags);
  }
  for (int i = thread; i < a.d; i += kThreads) move_column<true, 1>(a, sequence, layer, group, i, count, base);
  for (int i = thread; i < a.d / kParts; i += kThreads)
    move_column<false, kParts>(a, sequence, layer, group, i, count, base);
}

}  // namespace

Status kv_commit_cuda(const OpContext& cx, const KvCommit& a) {
  const int64_t g = a.k_cache.dims[1], d = a.k_cache.dims[2], batch = a.page_table.dims[0];
  if (g == 0 || d == 0 || batch == 0) return Status::success();
  return with_type(a.k_cache, [&](auto* t) {
    using T = std::remove_reference_t<decltype(*t)>;
    Args<T> args{};
    args.k_cache = a.k_cache.as<T>(), args.v_cache = a.v_cache.as<T>();
    args.page_table = a.page_table.as<int32_t>(), args.path = a.path.as<int32_t>();
    args.accepted = a.accepted.as<int32_t>(), args.slots = a.slots.as<int32_t>();
    args.flags = device(cx).flags;
    args.pages = static_cast<int>(a.k_cache.dims[0] / a.layers), args.groups = static_cast<int>(g);
    args.d = static_cast<int>(d), args.batch = static_cast<int>(batch);
    args.table = static_cast<int>(a.page_table.dims[1]), args.width = static_cast<int>(a.path.dims[1]);
    const bool wide = d * static_cast<int64_t>(sizeof(T)) % 16 == 0 && aligned16(a.v_cache);
    return launch(device(cx).stream, wide ? commit_kernel<T, true> : commit_kernel<T, false>,
                  {static_cast<unsigned>(a.layers * g), static_cast<unsigned>(batch)}, {kThreads}, 0, args);
  });
}

}  // namespace hb::cuda
