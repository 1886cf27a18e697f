#include <algorithm>
#include <cmath>

#include "core/noise.h"
#include "cpu/kernels.h"

namespace hb::cpu {

namespace {

constexpr int kLanes = 8;  ///< partial sums, added up in a fixed order

struct Layout {
  size_t flag_bytes, worker_bytes;
};

Layout layout(const ClassicVerify& a) {
  return {static_cast<size_t>(round_up(a.position.dims[0] * 4, 64)),
          static_cast<size_t>(round_up(a.target.dims[1] * 8, 64))};
}

bool ordinary(float x) { return x >= 0 && x < INFINITY; }
double cleaned(float x) { return ordinary(x) ? static_cast<double>(x) : 0; }

/// Sum of f(id) over the vocabulary.
template <class F>
double sum_over(int64_t v, F&& f) {
  double lane[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= v; i += kLanes)
    for (int j = 0; j < kLanes; ++j) lane[j] += f(i + j);
  for (int j = 0; i < v; ++i, ++j) lane[j] += f(i);
  double sum = 0;
  for (double x : lane) sum += x;
  return sum;
}

/// 52 bits, strictly between 0 and 1.
double uniform(const uint32_t* seed, uint32_t index, uint32_t position, Purpose purpose) {
  const Philox4 w = philox(seed[0], seed[1], index, position, purpose_word(purpose), 0);
  const uint64_t bits = static_cast<uint64_t>(w.word[0]) << 20 | w.word[1] >> 12;
  return (static_cast<double>(bits) + 0.5) * 0x1p-52;
}

double given(float coin) {
  constexpr float kBelowOne = 0x1.fffffep-1f;
  return coin > 0 ? static_cast<double>(std::min(coin, kBelowOne)) : 0;
}

/// How likely p is beside r, at most 1; nothing where r cannot give the token.
double ratio(double p, double r) { return r > 0 ? std::min(p / r, 1.0) : 0; }

/// One tree. Every loop is bounded by its nodes or by the vocabulary: a node is entered once and dropped once.
class Tree {
 public:
  Tree(const ClassicVerify& a, int64_t b, double* law) : a_(a), v_(a.target.dims[1]), b_(b), law_(law) {
    const int64_t n = a.token.dims[0];
    const auto* first = a.first.as<const int32_t>();
    base_ = std::clamp<int64_t>(first[b], 0, n);
    const int64_t end = std::clamp<int64_t>(first[b + 1], base_, n);
    nodes_ = static_cast<int>(std::min(end - base_, kTreeNodes));
    clamp_if(base_ != first[b] || end != first[b + 1] || nodes_ != end - base_);
    for (int i = 0; i < nodes_; ++i) {
      const int32_t parent = i == 0 ? -1 : a.parent.as<const int32_t>()[base_ + i];
      const bool known = i == 0 || (parent >= 0 && parent < i && token(i) >= 0 && token(i) < v_);
      clamp_if(!known);
      state_[i].parent = parent;
      state_[i].live = i == 0 || (known && state_[parent].live);
    }
    if (a.coins)
      for (int i = 0; i < nodes_; ++i) {
        const float coin = a.coins.as<const float>()[base_ + i];
        if (std::isnan(coin)) flags_ |= kFlagNotANumber;
        clamp_if(coin < 0 || coin >= 1);
      }
  }

  uint32_t run() {
    auto* path = a_.path.as<int32_t>() + b_ * kTreeNodes;
    std::fill(path, path + kTreeNodes, -1);
    a_.accepted.as<int32_t>()[b_] = 0;
    a_.next.as<int32_t>()[b_] = -1;
    if (nodes_ == 0) return flags_;
    push(0, 1);
    if (static_cast<ClassicMode>(a_.mode) == ClassicMode::traversal)
      traverse();
    else
      descend();
    std::copy(stack_, stack_ + depth_, path);
    a_.accepted.as<int32_t>()[b_] = depth_;
    a_.next.as<int32_t>()[b_] = draw();
    return flags_;
  }

 private:
  struct State {
    int parent;
    bool live;  ///< may still be tested
    bool entered, rejected;
    double weight;  ///< a of the contract; 1 in token mode
    double sum;     ///< of the target's row
    double row;     ///< of the draft's row; 1 without one
    double scale;   ///< a of the parent, when this node was rejected
    double mass;    ///< of the residual that it left
  };

  void clamp_if(bool yes) { flags_ |= yes ? kFlagIndexClamped : 0u; }
  int64_t token(int i) const { return a_.token.as<const int32_t>()[base_ + i]; }
  const float* target(int i) const { return a_.target.as<const float>() + (base_ + i) * v_; }
  const float* draft(int i) const { return a_.draft.as<const float>() + (base_ + i) * v_; }
  bool drawn(int i) const { return a_.draft && (!a_.drawn || a_.drawn.as<const int32_t>()[base_ + i] != 0); }

  /// Sum of a row of weights; flags what is no weight, and a row without any.
  double sum_of(const float* row) {
    const double strange = sum_over(v_, [row](int64_t x) { return ordinary(row[x]) ? 0.0 : 1.0; });
    const double sum = sum_over(v_, [row](int64_t x) { return cleaned(row[x]); });
    if (strange > 0 || !(sum > 0)) flags_ |= kFlagNotANumber;
    return sum;
  }

  void push(int i, double weight) {
    State& s = state_[i];
    s.entered = true, s.weight = weight, s.sum = sum_of(target(i));
    stack_[depth_++] = i;
  }

  /// p of a node, before any child of it was rejected.
  double plain(int i, int64_t x) const {
    const double sum = state_[i].sum;
    return sum > 0 ? cleaned(target(i)[x]) / sum : x == 0 ? 1 : 0;
  }

  double row(int i, int64_t x) const { return drawn(i) ? cleaned(draft(i)[x]) / state_[i].row : x == token(i) ? 1 : 0; }

  /// Brings b of a node into `law_`: p, then the residual of each child that was rejected, in their order.
  void need(int i) {
    if (owner_ == i) return;
    owner_ = i;
    for (int64_t x = 0; x < v_; ++x) law_[x] = plain(i, x);
    for (int child = i + 1; child < nodes_; ++child)
      if (state_[child].parent == i && state_[child].rejected) subtract(child);
  }

  /// R of the contract.
  double left(int child, int64_t x) const { return std::max(state_[child].scale * law_[x] - row(child, x), 0.0); }

  /// b = R / Z; b as it was where rounding leaves no Z.
  void subtract(int child) {
    const double mass = state_[child].mass;
    if (mass > 0)
      for (int64_t x = 0; x < v_; ++x) law_[x] = left(child, x) / mass;
  }

  /// The next child of a node that was not tested, with its chance against the node's law as it stands; -1 when there
  /// is none. Children without a row of their own are dropped.
  int next_child(int i, double* chance) {
    for (int child = i + 1; child < nodes_; ++child) {
      State& s = state_[child];
      if (s.parent != i || !s.live || s.entered) continue;
      s.row = drawn(child) ? sum_of(draft(child)) : 1;
      if (!(s.row > 0)) {
        s.live = false;
        continue;
      }
      need(i);
      const int64_t x = token(child);
      *chance = ratio(state_[i].weight * law_[x], row(child, x));
      return child;
    }
    return -1;
  }

  double coin(int i) const {
    if (a_.coins) return given(a_.coins.as<const float>()[base_ + i]);
    return uniform(a_.seed.as<const uint32_t>() + 2 * b_, static_cast<uint32_t>(i),
                   a_.position.as<const uint32_t>()[b_], Purpose::accept);
  }

  /// Takes the child's law out of the parent's.
  void reject(int parent, int child) {
    State& s = state_[child];
    need(parent);
    s.entered = true, s.scale = state_[parent].weight;
    s.mass = sum_over(v_, [&](int64_t x) { return left(child, x); });
    subtract(child);
    s.rejected = true;
  }

  void traverse() {
    for (;;) {
      const int leaf = stack_[depth_ - 1];
      double chance;
      if (const int child = next_child(leaf, &chance); child >= 0) {
        push(child, chance);
        continue;
      }
      if (depth_ == 1 || coin(leaf) < state_[leaf].weight) return;
      --depth_;
      const int parent = stack_[depth_ - 1];
      reject(parent, leaf);
      double& weight = state_[parent].weight;
      const double z = state_[leaf].mass, whole = z + 1 - weight;
      weight = whole > 0 ? z / whole : 1;
    }
  }

  void descend() {
    double chance;
    for (int child; (child = next_child(stack_[depth_ - 1], &chance)) >= 0;) {
      if (coin(child) < chance)
        push(child, 1);
      else
        reject(stack_[depth_ - 1], child);
    }
  }

  int32_t draw() {
    need(stack_[depth_ - 1]);
    const double u = a_.coins ? coin(0)
                              : uniform(a_.seed.as<const uint32_t>() + 2 * b_, 0, a_.position.as<const uint32_t>()[b_],
                                        Purpose::residual);
    double total = 0, below = 0;
    for (int64_t x = 0; x < v_; ++x) total += law_[x];
    int32_t last = 0;
    for (int64_t x = 0; x < v_; ++x) {
      if (!(law_[x] > 0)) continue;
      last = static_cast<int32_t>(x);
      below += law_[x];
      if (u * total < below) break;
    }
    return last;
  }

  const ClassicVerify& a_;
  const int64_t v_, b_;
  double* law_;  ///< b of `owner_`
  int owner_ = -1;
  int64_t base_;
  int nodes_;
  int depth_ = 0;
  uint32_t flags_ = 0;
  int32_t stack_[kTreeNodes];
  State state_[kTreeNodes] = {};
};

}  // namespace

size_t classic_verify_workspace(const ClassicVerify& a, int workers) {
  const Layout l = layout(a);
  return l.flag_bytes + static_cast<size_t>(workers) * l.worker_bytes;
}

Status classic_verify_cpu(const OpContext& cx, const ClassicVerify& a) {
  const Layout l = layout(a);
  const int64_t trees = a.position.dims[0];
  char* scratch = static_cast<char*>(cx.scratch);
  auto* flags = reinterpret_cast<uint32_t*>(scratch);
  parallel_for(cx, trees, [&](int64_t b, int worker) {
    char* law = scratch + l.flag_bytes + static_cast<size_t>(worker) * l.worker_bytes;
    flags[b] = Tree(a, b, reinterpret_cast<double*>(law)).run();
  });
  for (int64_t b = 0; b < trees; ++b) *cx.flags |= flags[b];
  return Status::success();
}

}  // namespace hb::cpu
