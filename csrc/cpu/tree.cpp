// Draft trees: build and verify. Both are small integer work on the calling thread.
#include <algorithm>
#include <cmath>

#include "cpu/rows.h"

namespace hb::cpu {

namespace {

/// One tree while it grows: nodes in the order in which they are taken, children of a node as a list in that order.
struct Tree {
  int64_t nodes = 1;
  int32_t token[kTreeNodes], candidate[kTreeNodes], parent[kTreeNodes], depth[kTreeNodes];
  int32_t child[kTreeNodes], last[kTreeNodes], sibling[kTreeNodes];

  explicit Tree(int32_t root) { set(0, root, -1, -1, 0); }

  int64_t add(int32_t t, int32_t from, int64_t to) {
    const int64_t node = nodes++;
    set(node, t, from, static_cast<int32_t>(to), depth[to] + 1);
    (child[to] < 0 ? child[to] : sibling[last[to]]) = static_cast<int32_t>(node);
    last[to] = static_cast<int32_t>(node);
    return node;
  }

  int64_t find(int64_t under, int32_t t) const {
    int64_t node = child[under];
    while (node >= 0 && token[node] != t) node = sibling[node];
    return node;
  }

 private:
  void set(int64_t node, int32_t t, int32_t from, int32_t to, int32_t d) {
    token[node] = t, candidate[node] = from, parent[node] = to, depth[node] = d;
    child[node] = last[node] = sibling[node] = -1;
  }
};

class Builder {
  static constexpr int32_t kNone = INT32_MIN;  ///< level of a candidate that is not used

 public:
  Builder(const OpContext& cx, const TreeBuild& a) : cx_(cx), a_(a), all_(candidates(a)) {
    value_ = static_cast<float*>(cx.scratch);
    order_ = reinterpret_cast<int32_t*>(value_ + all_);
    node_ = order_ + all_;
    token_ = node_ + all_;
    parent_ = token_ + all_;
    level_ = parent_ + all_;
  }

  static int64_t candidates(const TreeBuild& a) {
    return a.tokens.dims[1] + (a.more_tokens ? a.more_tokens.dims[1] : 0);
  }

  void run() {
    const int64_t b = a_.count.dims[0], n = a_.capacity_rows;
    auto* first = a_.first.as<int32_t>();
    int64_t row = 0, waiting = 0;
    for (int64_t s = 0; s < b; ++s) waiting += at(a_.finished, s) == 0;
    for (int64_t s = 0; s < b; ++s) {
      first[s] = static_cast<int32_t>(row);
      if (at(a_.finished, s)) continue;
      Tree tree(at(a_.root, s));
      grow(s, std::min<int64_t>(at(a_.budget, s), n - row - --waiting), tree);
      write(s, tree, row);
      row += tree.nodes;
    }
    first[b] = *a_.rows.as<int32_t>() = static_cast<int32_t>(row);
    for (; row < n; ++row) pad(row);
  }

 private:
  static int32_t at(const TensorView& t, int64_t i) { return t.as<const int32_t>()[i]; }

  /// Tokens that the answer has gone on by since the candidates were found; -1: too many, or they are not known.
  int64_t passed(int64_t s) const {
    if (!a_.since) return 0;
    const int64_t since = at(a_.since, s), output = at(a_.output, s), steps = output - since;
    return since < 0 || steps < 0 || steps >= kTreeNodes || output > a_.history.dims[1] ? -1 : steps;
  }

  /// Takes in a drafter's candidates, numbered from `base` on; counts the usable ones into `usable`: those below the
  /// path of `steps` tokens at `way`.
  void collect(const TensorView& tokens, const TensorView& parents, const TensorView& values, const TensorView& count,
               int64_t s, int64_t base, int64_t steps, const int32_t* way, int64_t& usable) {
    const int64_t c = tokens.dims[1], n = std::clamp<int64_t>(at(count, s), 0, c);
    for (int64_t k = 0; k < n; ++k) {
      const int32_t token = at(tokens, s * c + k), p = at(parents, s * c + k);
      const float value = values.as<const float>()[s * c + k];
      const int64_t i = base + k;
      node_[i] = -1;
      value_[i] = value;
      level_[i] = kNone;
      if (value == -INFINITY) continue;
      if (std::isnan(value) || token < 0 || token >= a_.vocabulary || p < -1 || p >= k) {
        *cx_.flags |= std::isnan(value) ? kFlagNotANumber : kFlagIndexClamped;
        value_[i] = -INFINITY;
        continue;
      }
      // levels count from the new root: 0 is the end of the path, above it they are negative
      const int64_t level = (p < 0 ? -steps : level_[base + p]) + 1;
      if (level == kNone + 1 || (level <= 0 && token != way[level + steps - 1])) continue;
      level_[i] = static_cast<int32_t>(level);
      if (level <= 0) continue;
      token_[i] = token;
      parent_[i] = level == 1 ? -1 : static_cast<int32_t>(base + p);
      if (level > 1) value_[i] = std::min(value, value_[base + p]);
      order_[usable++] = static_cast<int32_t>(i);
    }
  }

  void grow(int64_t s, int64_t allowed, Tree& tree) {
    allowed = std::min({allowed, kTreeNodes, static_cast<int64_t>(at(a_.capacity, s)) - at(a_.root_slot, s)});
    const int64_t deepest = static_cast<int64_t>(at(a_.limit, s)) - at(a_.output, s) - 1;
    int64_t usable = 0;
    if (const int64_t steps = passed(s); steps >= 0) {
      const int32_t* way =
          steps == 0 ? nullptr : &a_.history.as<const int32_t>()[s * a_.history.dims[1]] + at(a_.since, s);
      collect(a_.tokens, a_.parents, a_.values, a_.count, s, 0, steps, way, usable);
    }
    if (a_.more_tokens)
      collect(a_.more_tokens, a_.more_parents, a_.more_values, a_.more_count, s, a_.tokens.dims[1], 0, nullptr, usable);
    std::sort(order_, order_ + usable,
              [this](int32_t i, int32_t j) { return value_[i] > value_[j] || (value_[i] == value_[j] && i < j); });
    for (int64_t k = 0; k < usable && tree.nodes < allowed; ++k) {
      const int32_t i = order_[k];
      const int64_t under = parent_[i] < 0 ? 0 : node_[parent_[i]];
      if (under < 0 || tree.depth[under] >= deepest) continue;
      const int64_t same = tree.find(under, token_[i]);
      node_[i] = static_cast<int32_t>(same >= 0 ? same : tree.add(token_[i], i, under));
    }
  }

  /// Numbers the nodes depth first and writes their rows.
  void write(int64_t s, const Tree& tree, int64_t first) {
    int32_t number[kTreeNodes];
    int64_t next = 0;
    const int32_t slot = at(a_.root_slot, s);
    for (int64_t node = 0; node >= 0;) {
      const int64_t row = first + next;
      const int32_t up = tree.parent[node] < 0 ? -1 : number[tree.parent[node]];
      number[node] = static_cast<int32_t>(next);
      auto* words = a_.ancestors.as<uint32_t>() + 4 * row;
      const uint32_t* above = a_.ancestors.as<const uint32_t>() + 4 * (first + up);
      for (int w = 0; w < 4; ++w) words[w] = up < 0 ? 0 : above[w];
      words[next / 32] |= 1u << (next % 32);
      a_.token.as<int32_t>()[row] = tree.token[node];
      a_.parent.as<int32_t>()[row] = up;
      a_.source.as<int32_t>()[row] = tree.candidate[node];
      a_.rank.as<int32_t>()[row] = static_cast<int32_t>(node);
      a_.seq.as<int32_t>()[row] = static_cast<int32_t>(s);
      a_.position.as<int32_t>()[row] = plus(at(a_.root_position, s), tree.depth[node]);
      a_.slot.as<int32_t>()[row] = plus(slot, next);
      a_.visible.as<int32_t>()[row] = slot;
      a_.own.as<int32_t>()[2 * row] = slot;
      a_.own.as<int32_t>()[2 * row + 1] = plus(slot, tree.nodes);
      a_.index.as<int32_t>()[row] = plus(at(a_.output, s), tree.depth[node]);
      ++next;
      if (tree.child[node] >= 0) {
        node = tree.child[node];
      } else {
        while (node >= 0 && tree.sibling[node] < 0) node = tree.parent[node];
        if (node >= 0) node = tree.sibling[node];
      }
    }
  }

  void pad(int64_t row) {
    for (const TensorView* t : {&a_.token, &a_.rank, &a_.seq, &a_.position, &a_.visible, &a_.index})
      t->as<int32_t>()[row] = 0;
    for (const TensorView* t : {&a_.parent, &a_.source, &a_.slot}) t->as<int32_t>()[row] = -1;
    std::fill_n(a_.own.as<int32_t>() + 2 * row, 2, 0);
    std::fill_n(a_.ancestors.as<int32_t>() + 4 * row, 4, 0);
  }

  const OpContext& cx_;
  const TreeBuild& a_;
  const int64_t all_;
  float* value_;
  int32_t *order_, *node_, *token_, *parent_, *level_;
};

}  // namespace

size_t tree_build_workspace(const TreeBuild& a, int) { return static_cast<size_t>(24 * Builder::candidates(a)); }

Status tree_build_cpu(const OpContext& cx, const TreeBuild& a) {
  Builder(cx, a).run();
  return Status::success();
}

Status tree_verify_cpu(const OpContext& cx, const TreeVerify& a) {
  const int64_t n = a.target.dims[0], width = a.width, kept = a.history.dims[1], stops = a.stop.dims[1];
  const auto *target = a.target.as<const int32_t>(), *token = a.token.as<const int32_t>(),
             *parent = a.parent.as<const int32_t>(), *first = a.first.as<const int32_t>();
  for (int64_t b = 0; b < a.limit.dims[0]; ++b) {
    auto *path = a.path.as<int32_t>() + b * width, *event = a.event.as<int32_t>() + b * (4 + width);
    int32_t &output = a.output.as<int32_t>()[b], &finished = a.finished.as<int32_t>()[b];
    const int64_t start = std::clamp<int64_t>(first[b], 0, n), end = std::clamp<int64_t>(first[b + 1], start, n);
    if (start != first[b] || end != first[b + 1]) *cx.flags |= kFlagIndexClamped;
    const int64_t nodes = end - start, before = output;
    const auto* stop = a.stop.as<const int32_t>() + b * stops;
    auto is_stop = [&](int32_t t) { return t >= 0 && std::find(stop, stop + stops, t) != stop + stops; };
    std::fill_n(path, width, -1);
    std::fill_n(event + 4, width, -1);
    int64_t accepted = 0;
    for (int64_t node = 0; !finished && node < nodes && accepted < width;) {
      const int32_t t = target[start + node];
      path[accepted] = static_cast<int32_t>(node);
      event[4 + accepted++] = t;
      if (is_stop(t)) {
        finished = 1;
        break;
      }
      if (output >= 0 && output < kept) a.history.as<int32_t>()[b * kept + output] = t;
      output = plus(output, 1);
      if (output >= a.limit.as<const int32_t>()[b]) finished = 2;
      int64_t child = node + 1;  // children lie behind their parent
      while (child < nodes && (parent[start + child] != node || token[start + child] != t)) ++child;
      node = child;
    }
    if (accepted > 0) {
      a.positions.as<int32_t>()[b] = plus(a.positions.as<int32_t>()[b], accepted);
      a.slots.as<int32_t>()[b] = plus(a.slots.as<int32_t>()[b], accepted);
      if (!finished) a.tokens.as<int32_t>()[b] = event[4 + accepted - 1];
    }
    a.accepted.as<int32_t>()[b] = static_cast<int32_t>(accepted);
    event[0] = static_cast<int32_t>(accepted);
    event[1] = static_cast<int32_t>(before);
    event[2] = finished;
    event[3] = static_cast<int32_t>(nodes);
  }
  return Status::success();
}

}  // namespace hb::cpu
