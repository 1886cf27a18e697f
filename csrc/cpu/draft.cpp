// The bookkeeping of a draft head: small, on the calling thread.
#include <algorithm>
#include <cmath>

#include "cpu/rows.h"

namespace hb::cpu {

namespace {

void fill(const TensorView& t, int32_t value) {
  std::fill_n(t.as<int32_t>(), static_cast<size_t>(t.elements()), value);
}

int32_t& entry(const TensorView& t, int64_t i) { return t.as<int32_t>()[i]; }

}  // namespace

Status draft_extend_cpu(const OpContext& cx, const DraftExtend& a) {
  const int64_t rows = a.target.dims[0], batch = a.accepted.dims[0], width = a.path.dims[1];
  for (const TensorView* t : {&a.source, &a.token, &a.seq, &a.position, &a.visible, &a.last, &a.last_seq}) fill(*t, 0);
  fill(a.slot, -1);
  int64_t n = 0, live = 0;
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t given = std::max(0, entry(a.accepted, b)), wanted = std::min(given, width);
    const int64_t count = std::min(wanted, rows - n), start = entry(a.first, b), end = entry(a.first, b + 1);
    if (count < given) *cx.flags |= kFlagIndexClamped;
    for (int64_t j = 0; j < count; ++j, ++n) {
      const int64_t source = start + entry(a.path, b * width + j);
      if (source < start || source >= end || source < 0 || source >= rows) *cx.flags |= kFlagIndexClamped;
      const int64_t row = clamp_index(source, rows);
      entry(a.source, n) = static_cast<int32_t>(row);
      entry(a.token, n) = entry(a.target, row);
      entry(a.seq, n) = static_cast<int32_t>(b);
      entry(a.position, n) = plus(entry(a.positions, b), j - count);
      entry(a.slot, n) = plus(entry(a.slots, b), j - count);
      entry(a.visible, n) = plus(entry(a.slot, n), 1);
    }
    if (count == 0 || entry(a.finished, b) || (a.wanted && !entry(a.wanted, b))) continue;
    entry(a.last, live) = static_cast<int32_t>(n - 1);
    entry(a.last_seq, live++) = static_cast<int32_t>(b);
  }
  entry(a.rows, 0) = static_cast<int32_t>(n);
  entry(a.live, 0) = static_cast<int32_t>(live);
  return Status::success();
}

namespace {

/// A candidate that may be run next.
struct Child {
  float value;
  int32_t candidate, token, row;
};

/// One sequence's rows [first, end) of a level: appends the candidates, collects the best of them.
class Expansion {
 public:
  explicit Expansion(const DraftExpand& a)
      : a_(a),
        k_(a.token.dims[1]),
        columns_(a.tokens.dims[1]),
        start_(draft_candidates(a.level, k_)),
        end_(draft_candidates(a.level + 1, k_)) {}

  int64_t most_rows() const { return a_.level == 1 ? 1 : k_; }

  void append(int64_t seq, int64_t first, int64_t rows, Child* best, int64_t* count) const {
    int32_t *tokens = a_.tokens.as<int32_t>() + seq * columns_, *parents = a_.parents.as<int32_t>() + seq * columns_;
    float* values = a_.values.as<float>() + seq * columns_;
    std::fill(tokens + start_, tokens + end_, 0);
    std::fill(parents + start_, parents + end_, -1);
    std::fill(values + start_, values + end_, -INFINITY);
    entry(a_.count, seq) = static_cast<int32_t>(end_);
    *count = 0;
    for (int64_t j = 0; j < rows; ++j) {
      const int64_t row = first + j;
      const int32_t parent = a_.node ? entry(a_.node, row) : -1;
      const float above = a_.reached ? a_.reached.as<const float>()[row] : 0;
      if (parent < -1 || parent >= start_) continue;
      for (int64_t c = 0; c < k_; ++c) {
        const int32_t token = entry(a_.token, row * k_ + c);
        const float value = above + std::min(0.0f, a_.value.as<const float>()[row * k_ + c]);
        if (token < 0 || !std::isfinite(value) || ends(seq, token)) continue;
        const int64_t at = start_ + j * k_ + c;
        tokens[at] = token, parents[at] = parent, values[at] = value;
        insert(best, count, {value, static_cast<int32_t>(at), token, static_cast<int32_t>(row)});
      }
    }
  }

 private:
  bool ends(int64_t seq, int32_t token) const {
    if (!a_.stop) return false;
    const int64_t n = a_.stop.dims[1];
    const auto* list = a_.stop.as<const int32_t>() + seq * n;
    return std::find(list, list + n, token) != list + n;
  }

  /// Candidates come in rising order, so equal ones stay in it.
  void insert(Child* best, int64_t* count, const Child& child) const {
    if (*count == k_ && !(child.value > best[k_ - 1].value)) return;
    int64_t i = *count < k_ ? (*count)++ : k_ - 1;
    for (; i > 0 && best[i - 1].value < child.value; --i) best[i] = best[i - 1];
    best[i] = child;
  }

  const DraftExpand& a_;
  const int64_t k_, columns_, start_, end_;
};

}  // namespace

Status draft_expand_cpu(const OpContext& cx, const DraftExpand& a) {
  const int64_t batch = a.count.dims[0], k = a.token.dims[1], rows = live_rows(a.rows, a.token.dims[0]);
  for (const TensorView* t : {&a.next_token, &a.next_source, &a.next_seq, &a.next_position, &a.next_visible,
                              &a.next_own, &a.next_ancestors, &a.next_node})
    fill(*t, 0);
  fill(a.next_slot, -1);
  std::fill_n(a.next_reached.as<float>(), static_cast<size_t>(a.next_reached.elements()), 0.0f);
  const Expansion expansion(a);
  int64_t n = 0, last = -1;
  for (int64_t row = 0; row < rows;) {
    const int64_t first = row, seq = entry(a.seq, row);
    while (row < rows && entry(a.seq, row) == seq) ++row;
    if (seq <= last || seq >= batch) {
      *cx.flags |= kFlagIndexClamped;
      continue;
    }
    last = seq;
    if (row - first > expansion.most_rows()) *cx.flags |= kFlagIndexClamped;
    Child best[kDraftBranch];
    int64_t count;
    expansion.append(seq, first, std::min(row - first, expansion.most_rows()), best, &count);
    const int32_t root = entry(a.slots, seq);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t bit = (a.level - 1) * k + i;
      const int32_t slot = plus(root, bit);
      if (slot < 0 || slot >= entry(a.capacity, seq)) break;
      entry(a.next_token, n) = best[i].token;
      entry(a.next_source, n) = best[i].row;
      entry(a.next_seq, n) = static_cast<int32_t>(seq);
      entry(a.next_position, n) = plus(entry(a.positions, seq), a.level - 1);
      entry(a.next_slot, n) = slot;
      entry(a.next_visible, n) = root;
      entry(a.next_own, 2 * n) = root;
      entry(a.next_own, 2 * n + 1) = plus(root, a.level * k);
      for (int64_t w = 0; w < 4; ++w)
        entry(a.next_ancestors, 4 * n + w) = a.ancestors ? entry(a.ancestors, 4 * best[i].row + w) : 0;
      a.next_ancestors.as<uint32_t>()[4 * n + bit / 32] |= 1u << (bit % 32);
      entry(a.next_node, n) = best[i].candidate;
      a.next_reached.as<float>()[n] = best[i].value;
      ++n;
    }
  }
  entry(a.next_rows, 0) = static_cast<int32_t>(n);
  return Status::success();
}

}  // namespace hb::cpu
