// Draft trees in two launches: every sequence grows its tree as if it had all the rows it may take; then trees are cut
// to the rows that there are, numbered and written. Cutting is lawful because nodes are taken one by one: a smaller
// tree is the beginning of a larger one. Work is latency: some 2 us for the sort of 512 candidates, 70 ns per node
// taken, 2 us for placing 128 nodes; bytes are few (12 per candidate, 68 per row).
#include "cuda/indices.h"
#include "cuda/kernels.h"
#include "cuda/keys.h"
#include "cuda/launch.h"
#include "cuda/prim/prim.h"

namespace hb::cuda {
namespace {

constexpr int kNodes = kTreeNodes;
constexpr int kGrowThreads = 256, kPlaceThreads = kNodes;
constexpr int kEntryBytes = 24;  ///< of the tables, per candidate: a key, two values, two indices
constexpr int kNearRoom = 2048;  ///< candidates whose tables lie in shared memory
constexpr int kPathRounds = 7;   ///< a node lies below 2^7 - 1 others at most

/// A tree, nodes in the order in which they were taken.
struct Grown {
  int32_t nodes;  ///< 0: the sequence has finished
  int32_t token[kNodes], source[kNodes], parent[kNodes], depth[kNodes];
};

struct Candidates {
  const int32_t *tokens, *parents;
  const float* values;
  const int32_t* count;
  int width;
};

struct Args {
  Candidates own, more;
  const int32_t *since, *history;  ///< null: the candidates come after the root
  int kept;                        ///< tokens of a history
  const int32_t *budget, *root, *root_position, *root_slot, *output, *limit, *capacity, *finished;
  int32_t *token, *parent, *source, *rank, *seq, *position, *slot, *visible, *own_slots, *ancestors, *index, *first,
      *rows;
  Grown* grown;
  unsigned char* tables;  ///< null: in shared memory
  int room;               ///< entries of a sequence's tables, a power of two
  int b, n, vocabulary;
  uint32_t* flags;
};

struct GrowSmem {
  int32_t depth[kNodes];
};

/// Tokens that the answer has gone on by since the first drafter found its candidates; -1: too many, or they are not
/// known.
HB_DEVICE int passed(const Args& a, int s) {
  if (!a.since) return 0;
  const int64_t since = a.since[s], output = a.output[s], steps = output - since;
  return since < 0 || steps < 0 || steps >= kNodes || output > a.kept ? -1 : static_cast<int>(steps);
}

constexpr int kElsewhere = -1;  ///< level of a candidate that does not continue the answer, or too deep to be taken
constexpr int kNewRoot = -2;    ///< in the place of a parent: the answer has come to this candidate

/// Level of candidate k of the first drafter once the answer has gone on by `steps` tokens: 0 for the end of that path,
/// 1 for a child of the new root. Values and parents are those that `read_candidate` gave.
HB_DEVICE int level_of(const Args& a, const float* value, const int32_t* up, int s, int k, int steps) {
  if (steps < 0) return kElsewhere;
  int depth = 0;
  for (int u = k; u >= 0; u = up[u])
    if (value[u] == -kInfinity || ++depth > steps + kNodes) return kElsewhere;
  if (depth < steps) return kElsewhere;
  const int32_t* tokens = a.own.tokens + int64_t{s} * a.own.width;
  const int32_t* way = a.history + int64_t{s} * a.kept + a.since[s];
  int at = depth;
  for (int u = k; u >= 0; u = up[u], --at)
    if (at <= steps && tokens[u] != way[at - 1]) return kElsewhere;
  return depth - steps;
}

/// Value and parent of candidate k of a drafter whose first one has number `base`; -inf where it is not usable.
HB_DEVICE void read_candidate(const Args& a, const Candidates& from, int s, int k, int base, float& value, int& up) {
  value = -kInfinity, up = -1;
  if (k >= live_count(from.count + s, from.width)) return;
  const int64_t at = int64_t{s} * from.width + k;
  const float v = from.values[at];
  if (v == -kInfinity) return;
  const int32_t token = from.tokens[at], parent = from.parents[at];
  if (v != v) {
    raise<kFlagNotANumber>(a.flags);
  } else if (token < 0 || token >= a.vocabulary || parent < -1 || parent >= k) {
    raise<kFlagIndexClamped>(a.flags);
  } else {
    value = v, up = parent < 0 ? -1 : base + parent;
  }
}

HB_KERNEL void HB_BOUNDS(kGrowThreads, 2) grow_kernel(Args a) {
  const int s = static_cast<int>(block_x()), t = static_cast<int>(thread_x()), step = static_cast<int>(threads_x());
  Grown& out = a.grown[s];
  if (a.finished[s] != 0) {
    if (t == 0) out.nodes = 0;
    return;
  }
  HB_DYN_SMEM(raw);
  GrowSmem& smem = *reinterpret_cast<GrowSmem*>(raw);
  unsigned char* tables = a.tables ? a.tables + int64_t{s} * a.room * kEntryBytes : raw + sizeof(GrowSmem);
  uint64_t* key = reinterpret_cast<uint64_t*>(tables);
  float* value[2] = {reinterpret_cast<float*>(key + a.room), reinterpret_cast<float*>(key + a.room) + a.room};
  int32_t* up[2] = {reinterpret_cast<int32_t*>(value[1] + a.room),
                    reinterpret_cast<int32_t*>(value[1] + a.room) + a.room};

  for (int i = t; i < a.room; i += step) {
    if (i < a.own.width) {
      read_candidate(a, a.own, s, i, 0, value[0][i], up[0][i]);
    } else if (i < a.own.width + a.more.width) {
      read_candidate(a, a.more, s, i - a.own.width, a.own.width, value[0][i], up[0][i]);
    } else {
      value[0][i] = -kInfinity, up[0][i] = -1;
    }
  }
  sync_block();
  if (const int steps = passed(a, s); steps != 0) {  // only what lies below the path that the answer took
    for (int i = t; i < a.own.width; i += step) {
      const int level = level_of(a, value[0], up[0], s, i, steps);
      value[1][i] = level > 0 ? value[0][i] : -kInfinity;
      up[1][i] = level == 0 ? kNewRoot : level == 1 ? -1 : up[0][i];
    }
    sync_block();
    for (int i = t; i < a.own.width; i += step) value[0][i] = value[1][i], up[0][i] = up[1][i];
    sync_block();
  }
  // The least value on the way from the root. Whoever lies deeper than the rounds reach is never taken.
  for (int round = 0; round < kPathRounds; ++round) {
    const bool odd = round % 2;
    const float* from = odd ? value[1] : value[0];
    const int32_t* above = odd ? up[1] : up[0];
    float* to = odd ? value[0] : value[1];
    int32_t* next = odd ? up[0] : up[1];
    for (int i = t; i < a.room; i += step) {
      const int u = above[i];
      const float v = from[i], w = u < 0 ? v : from[u];
      to[i] = w < v ? w : v;
      next[i] = u < 0 ? u : above[u];
    }
    sync_block();
  }
  const float* worth = kPathRounds % 2 ? value[1] : value[0];
  const int32_t* top = kPathRounds % 2 ? up[1] : up[0];
  int32_t* node = kPathRounds % 2 ? up[0] : up[1];  // node that a candidate became
  for (int i = t; i < a.room; i += step) {
    const float v = worth[i];
    key[i] = v == -kInfinity ? ~uint64_t{0} : ~key_of(v, i);
    node[i] = top[i] == kNewRoot ? 0 : -1;
  }
  sync_block();
  sort_keys(key, a.room);
  if (warp() != 0) return;

  // One warp takes candidates in order; lane l keeps nodes l, l + 32, .. to be found by parent and token.
  const int me = static_cast<int>(lane());
  int64_t most = int64_t{a.capacity[s]} - a.root_slot[s];
  most = most < a.budget[s] ? most : a.budget[s];
  const int allowed = most < kNodes ? static_cast<int>(most) : kNodes;
  const int64_t deepest = int64_t{a.limit[s]} - a.output[s] - 1;
  int32_t tokens[kNodes / 32], parents[kNodes / 32];
  HB_UNROLL
  for (int q = 0; q < kNodes / 32; ++q) tokens[q] = 0, parents[q] = -2;
  int nodes = 1;
  if (me == 0) {
    smem.depth[0] = 0;
    out.token[0] = a.root[s], out.source[0] = -1, out.parent[0] = -1, out.depth[0] = 0;
  }
  sync_warp(kAllLanes);
  for (int base = 0; base < a.room && nodes < allowed; base += 32) {
    const uint64_t mine = key[base + me];
    const bool usable = mine != ~uint64_t{0};
    const int number = usable ? number_of(~mine) : 0;
    int32_t token = 0, above = -1;
    if (usable) {
      const bool second = number >= a.own.width;
      const Candidates& from = second ? a.more : a.own;
      const int64_t at = int64_t{s} * from.width + (second ? number - a.own.width : number);
      token = from.tokens[at], above = from.parents[at];
      if (second && above >= 0) above += a.own.width;
    }
    const int count = popcount(ballot(kAllLanes, usable));
    for (int j = 0; j < count && nodes < allowed; ++j) {
      const int candidate = shuffle(kAllLanes, number, j), parent = shuffle(kAllLanes, above, j);
      const int32_t wanted = shuffle(kAllLanes, token, j);
      const int under = parent < 0 ? 0 : node[parent];
      if (under < 0) continue;
      const int depth = smem.depth[under];
      if (depth >= deepest) continue;
      int same = -1;
      HB_UNROLL
      for (int q = kNodes / 32 - 1; q >= 0; --q) {
        const uint32_t found = ballot(kAllLanes, parents[q] == under && tokens[q] == wanted);
        if (found) same = 32 * q + first_set(found) - 1;
      }
      if (same < 0) {
        same = nodes++;
        HB_UNROLL
        for (int q = 0; q < kNodes / 32; ++q)
          if (same == 32 * q + me) tokens[q] = wanted, parents[q] = under;
        if (me == 0) {
          smem.depth[same] = depth + 1;
          out.token[same] = wanted, out.source[same] = candidate, out.parent[same] = under, out.depth[same] = depth + 1;
        }
      }
      if (me == 0) node[candidate] = same;
      sync_warp(kAllLanes);
    }
    if (count < 32) break;
  }
  if (me == 0) out.nodes = nodes;
}

struct PlaceSmem {
  int32_t chunk[kPlaceThreads];
  int32_t running, row, take, total;
  int32_t parent[kNodes], size[kNodes], step[kNodes], number[kNodes];
};

/// Rows of this block's sequence: those before it, its own, and those of all. Sequences take rows in order, each leaves
/// one for every running sequence behind it.
HB_DEVICE void share_rows(const Args& a, PlaceSmem& smem) {
  const int t = static_cast<int>(thread_x()), own = static_cast<int>(block_x());
  if (t == 0) smem.running = smem.row = smem.take = smem.total = 0;
  sync_block();
  uint32_t running = 0;
  for (int s = t; s < a.b; s += kPlaceThreads) running += a.grown[s].nodes > 0;
  running = reduce_add(kAllLanes, running);
  if (lane() == 0) atomic_add(&smem.running, static_cast<int32_t>(running));
  sync_block();
  int row = 0, waiting = smem.running;
  for (int base = 0; base < a.b; base += kPlaceThreads) {
    smem.chunk[t] = base + t < a.b ? a.grown[base + t].nodes : 0;
    sync_block();
    if (t == 0)
      for (int i = 0; i < kPlaceThreads && base + i < a.b; ++i) {
        if (own == 0) a.first[base + i] = row;
        int take = smem.chunk[i];
        if (take > 0) {
          const int room = a.n - row - --waiting;
          take = take < room ? take : room;
        }
        if (base + i == own) smem.row = row, smem.take = take;
        row += take;
      }
    sync_block();
  }
  if (t == 0) {
    smem.total = row;
    if (own == 0) a.first[a.b] = row, *a.rows = row;
  }
  sync_block();
}

/// Numbers the nodes of this block's tree depth first, children in the order in which they were taken, and writes
/// their rows. A thread per node.
HB_DEVICE void place_tree(const Args& a, PlaceSmem& smem, int s) {
  const Grown& tree = a.grown[s];
  const int x = static_cast<int>(thread_x()), take = smem.take, first = smem.row;
  const bool live = x < take;
  smem.parent[x] = live ? tree.parent[x] : -1;
  smem.size[x] = 0;
  sync_block();
  if (live)
    for (int up = x; up >= 0; up = smem.parent[up]) atomic_add(&smem.size[up], 1);
  sync_block();
  int step = 0;  // from the parent's number to this node's
  if (live && x > 0) {
    step = 1;
    for (int other = 1; other < x; ++other)
      if (smem.parent[other] == smem.parent[x]) step += smem.size[other];
  }
  smem.step[x] = step;
  sync_block();
  int number = 0;
  if (live)
    for (int up = x; up >= 0; up = smem.parent[up]) number += smem.step[up];
  smem.number[x] = number;
  sync_block();
  if (!live) return;
  uint32_t words[4] = {0, 0, 0, 0};
  for (int up = x; up >= 0; up = smem.parent[up]) {
    const int bit = smem.number[up];
    HB_UNROLL
    for (int w = 0; w < 4; ++w)
      if (bit / 32 == w) words[w] |= 1u << bit % 32;
  }
  const int row = first + number, up = smem.parent[x];
  const int32_t slot = a.root_slot[s], depth = tree.depth[x];
  HB_UNROLL
  for (int w = 0; w < 4; ++w) a.ancestors[4 * int64_t{row} + w] = static_cast<int32_t>(words[w]);
  a.token[row] = tree.token[x];
  a.parent[row] = up < 0 ? -1 : smem.number[up];
  a.source[row] = tree.source[x];
  a.rank[row] = x;
  a.seq[row] = s;
  a.position[row] = plus(a.root_position[s], depth);
  a.slot[row] = plus(slot, number);
  a.visible[row] = slot;
  a.own_slots[2 * int64_t{row}] = slot;
  a.own_slots[2 * int64_t{row} + 1] = plus(slot, take);
  a.index[row] = plus(a.output[s], depth);
}

HB_KERNEL void HB_BOUNDS(kPlaceThreads, 4) place_kernel(Args a) {
  HB_DYN_SMEM(raw);
  PlaceSmem& smem = *reinterpret_cast<PlaceSmem*>(raw);
  share_rows(a, smem);
  const int s = static_cast<int>(block_x());
  for (int row = smem.total + s * kPlaceThreads + static_cast<int>(thread_x()); row < a.n;
       row += static_cast<int>(blocks_x()) * kPlaceThreads) {
    a.token[row] = a.rank[row] = a.seq[row] = a.position[row] = a.visible[row] = a.index[row] = 0;
    a.parent[row] = a.source[row] = a.slot[row] = -1;
    a.own_slots[2 * int64_t{row}] = a.own_slots[2 * int64_t{row} + 1] = 0;
    for (int w = 0; w < 4; ++w) a.ancestors[4 * int64_t{row} + w] = 0;
  }
  if (s < a.b) place_tree(a, smem, s);
}

int room_of(const TreeBuild& a) {
  const int64_t all = a.tokens.dims[1] + (a.more_tokens ? a.more_tokens.dims[1] : 0);
  int room = 64;
  while (room < all) room *= 2;
  return room;
}

size_t grown_bytes(const TreeBuild& a) { return (static_cast<size_t>(a.count.dims[0]) * sizeof(Grown) + 15) / 16 * 16; }

}  // namespace

size_t tree_build_workspace(const TreeBuild& a, int) {
  const size_t room = static_cast<size_t>(room_of(a));
  return grown_bytes(a) + (room > kNearRoom ? static_cast<size_t>(a.count.dims[0]) * room * kEntryBytes : 0);
}

Status tree_build_cuda(const OpContext& cx, const TreeBuild& a) {
  const auto candidates = [](const TensorView& tokens, const TensorView& parents, const TensorView& values,
                             const TensorView& count) {
    return tokens ? Candidates{tokens.as<int32_t>(), parents.as<int32_t>(), values.as<float>(), count.as<int32_t>(),
                               static_cast<int>(tokens.dims[1])}
                  : Candidates{nullptr, nullptr, nullptr, nullptr, 0};
  };
  const auto at = [](const TensorView& t) { return t.as<int32_t>(); };
  const int room = room_of(a), b = static_cast<int>(a.count.dims[0]);
  const bool near = room <= kNearRoom;
  unsigned char* scratch = static_cast<unsigned char*>(cx.scratch);
  const Args args = {candidates(a.tokens, a.parents, a.values, a.count),
                     candidates(a.more_tokens, a.more_parents, a.more_values, a.more_count),
                     a.since ? at(a.since) : nullptr,
                     a.history ? at(a.history) : nullptr,
                     a.history ? static_cast<int>(a.history.dims[1]) : 0,
                     at(a.budget),
                     at(a.root),
                     at(a.root_position),
                     at(a.root_slot),
                     at(a.output),
                     at(a.limit),
                     at(a.capacity),
                     at(a.finished),
                     at(a.token),
                     at(a.parent),
                     at(a.source),
                     at(a.rank),
                     at(a.seq),
                     at(a.position),
                     at(a.slot),
                     at(a.visible),
                     at(a.own),
                     at(a.ancestors),
                     at(a.index),
                     at(a.first),
                     at(a.rows),
                     reinterpret_cast<Grown*>(scratch),
                     near ? nullptr : scratch + grown_bytes(a),
                     room,
                     b,
                     static_cast<int>(a.capacity_rows),
                     static_cast<int>(a.vocabulary),
                     device(cx).flags};
  void* const stream = device(cx).stream;
  if (b > 0) {
    const size_t bytes = sizeof(GrowSmem) + (near ? static_cast<size_t>(room) * kEntryBytes : 0);
    const unsigned threads = room / 2 < kGrowThreads ? static_cast<unsigned>(room / 2) : kGrowThreads;
    Status status = launch(stream, grow_kernel, {static_cast<unsigned>(b)}, {threads}, bytes, args);
    if (!status.ok()) return status;
  }
  return launch(stream, place_kernel, {static_cast<unsigned>(b > 0 ? b : 1)}, {kPlaceThreads}, sizeof(PlaceSmem), args);
}

}  // namespace hb::cuda
