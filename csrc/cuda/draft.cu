// The bookkeeping of a draft head: a warp per sequence, which finds its place among the others by going through what
// they take. Latency of a few dependent reads, 2 to 4 us; bytes are few.
#include "cuda/indices.h"
#include "cuda/kernels.h"
#include "cuda/keys.h"
#include "cuda/launch.h"

namespace hb::cuda {
namespace {

struct ExtendArgs {
  const int32_t *target, *path, *accepted, *first, *positions, *slots, *finished, *wanted;
  int32_t *source, *token, *seq, *position, *slot, *visible, *rows, *last, *last_seq, *live;
  int n, b, width;
  uint32_t* flags;
};

HB_KERNEL void HB_BOUNDS(32, 16) draft_extend_kernel(ExtendArgs a) {
  const int own = static_cast<int>(block_x()), me = static_cast<int>(lane());
  int begin = 0, count = 0, place = -1;  // this sequence's first entry, its entries, its place among those that go on
  int taken = 0, live = 0;
  for (int base = 0; base < a.b; base += 32) {
    const int s = base + me;
    const int given = s < a.b ? a.accepted[s] : 0;
    const int asked = clamp_to(given, 0, a.width < a.n ? a.width : a.n);
    const int up_to = warp_scan(asked), before = taken + up_to - asked;
    const int mine = before >= a.n ? 0 : asked < a.n - before ? asked : a.n - before;
    const bool goes_on = mine > 0 && a.finished[s] == 0 && (!a.wanted || a.wanted[s] != 0);
    const uint32_t going = ballot(kAllLanes, goes_on);
    if (s == own && mine < given) raise<kFlagIndexClamped>(a.flags);
    if (base <= own && own < base + 32) {
      const int at = own - base;
      begin = shuffle(kAllLanes, before, at), count = shuffle(kAllLanes, mine, at);
      if (going >> at & 1) place = live + popcount(going & ((1u << at) - 1));
    }
    live += popcount(going);
    taken += shuffle(kAllLanes, up_to, 31);
    if (taken > a.n) taken = a.n;
  }

  if (own < a.b) {
    const int64_t start = a.first[own], end = a.first[own + 1];
    for (int j = me; j < count; j += 32) {
      const int at = begin + j;
      const int64_t source = start + a.path[int64_t{own} * a.width + j];
      if (source < start || source >= end || source < 0 || source >= a.n) raise<kFlagIndexClamped>(a.flags);
      const int row = source < 0 ? 0 : source >= a.n ? a.n - 1 : static_cast<int>(source);
      const int32_t slot = plus(a.slots[own], j - count);
      a.source[at] = row;
      a.token[at] = a.target[row];
      a.seq[at] = own;
      a.position[at] = plus(a.positions[own], j - count);
      a.slot[at] = slot;
      a.visible[at] = plus(slot, 1);
    }
    if (me == 0 && place >= 0) a.last[place] = begin + count - 1, a.last_seq[place] = own;
  }
  const int first = own * 32 + me, step = static_cast<int>(blocks_x()) * 32;
  for (int at = taken + first; at < a.n; at += step) {
    a.source[at] = a.token[at] = a.seq[at] = a.position[at] = a.visible[at] = 0;
    a.slot[at] = -1;
  }
  for (int at = live + first; at < a.b; at += step) a.last[at] = a.last_seq[at] = 0;
  if (own == 0 && me == 0) *a.rows = taken, *a.live = live;
}

struct ExpandArgs {
  const int32_t *token, *seq, *node, *ancestors, *rows, *positions, *slots, *capacity, *stop;
  const float *value, *reached;
  int32_t *tokens, *parents, *count;
  float* values;
  int32_t *next_token, *next_source, *next_seq, *next_position, *next_slot, *next_visible, *next_own, *next_ancestors,
      *next_node, *next_rows;
  float* next_reached;
  int32_t *run, *chosen, *picked;  ///< [b], [b], [b, k]: first row, children that go on, which candidates
  int n, b, k, columns, stops, level;
  int start, end;  ///< candidates of this level
  uint32_t* flags;
};

HB_DEVICE bool in_batch(const ExpandArgs& a, int s) { return s >= 0 && s < a.b; }

/// The first row of a sequence; -1 when it has none or comes after a later sequence. By a whole warp.
HB_DEVICE int find_run(const ExpandArgs& a, int own, int rows) {
  for (int base = 0; base < rows; base += 32) {
    const int at = base + static_cast<int>(lane());
    const int s = at < rows ? a.seq[at] : -1;
    const uint32_t here = ballot(kAllLanes, s == own), later = ballot(kAllLanes, s > own && in_batch(a, s));
    const uint32_t before = here ? (here & (~here + 1)) - 1 : kAllLanes;  // lanes in front of the first one
    if (later & before) return -1;
    if (here) return base + first_set(here) - 1;
  }
  return -1;
}

/// Raises the flag when sequences are out of range or not ascending. By a whole warp.
HB_DEVICE void check_runs(const ExpandArgs& a, int rows) {
  int last = -1;  // the largest sequence so far
  bool odd = false;
  for (int base = 0; base < rows; base += 32) {
    const int at = base + static_cast<int>(lane());
    const int s = at < rows ? a.seq[at] : -1;
    const bool begins = at < rows && (at == 0 || a.seq[at - 1] != s);
    int before = in_batch(a, s) ? s : -1;
    HB_UNROLL
    for (int step = 1; step < 32; step *= 2) {
      const int other = shuffle_up(kAllLanes, before, step);
      before = static_cast<int>(lane()) >= step && other > before ? other : before;
    }
    const int up_to = before > last ? before : last;
    before = shuffle_up(kAllLanes, up_to, 1);
    if (lane() == 0) before = last;
    odd = odd || (begins && (!in_batch(a, s) || s <= before));
    last = shuffle(kAllLanes, up_to, 31);
  }
  if (odd) raise<kFlagIndexClamped>(a.flags);
}

HB_DEVICE bool ends(const ExpandArgs& a, int own, int32_t token) {
  for (int i = 0; i < a.stops; ++i)
    if (a.stop[int64_t{own} * a.stops + i] == token) return true;
  return false;
}

/// Turns a sequence's children into candidates and picks those that go on.
HB_KERNEL void HB_BOUNDS(32, 16) draft_children_kernel(ExpandArgs a) {
  const int own = static_cast<int>(block_x()), me = static_cast<int>(lane());
  const int rows = live_count(a.rows, a.n);
  if (own == 0) check_runs(a, rows);
  if (own >= a.b) return;
  const int first = find_run(a, own, rows);
  if (me == 0) a.run[own] = first;
  if (first < 0) {
    if (me == 0) a.chosen[own] = 0;
    return;
  }
  const int most = a.level == 1 ? 1 : a.k;
  int length = 0;  // of the run, up to one row too many
  for (int base = 0; base <= most; base += 32) {
    const int at = base + me;
    const bool mine = at <= most && first + at < rows && a.seq[first + at] == own;
    const uint32_t run = ballot(kAllLanes, mine);
    length += run == kAllLanes ? 32 : first_set(~run) - 1;
    if (run != kAllLanes) break;
  }
  if (length > most) {
    length = most;
    if (me == 0) raise<kFlagIndexClamped>(a.flags);
  }

  // A lane owns every 32nd candidate and reads later what it wrote itself.
  int32_t *tokens = a.tokens + int64_t{own} * a.columns, *parents = a.parents + int64_t{own} * a.columns;
  float* values = a.values + int64_t{own} * a.columns;
  for (int at = a.start + me; at < a.end; at += 32) {
    const int j = (at - a.start) / a.k, c = (at - a.start) % a.k;
    int32_t token = 0, parent = -1;
    float value = -kInfinity;
    if (j < length) {
      const int row = first + j;
      const int32_t above = a.node ? a.node[row] : -1, child = a.token[int64_t{row} * a.k + c];
      const float own_value = a.value[int64_t{row} * a.k + c];
      const float v = add_rn(a.reached ? a.reached[row] : 0.0f, own_value < 0 ? own_value : 0.0f);
      if (above >= -1 && above < a.start && child >= 0 && v > -kInfinity && v < kInfinity && !ends(a, own, child))
        token = child, parent = above, value = v;
    }
    tokens[at] = token, parents[at] = parent, values[at] = value;
  }
  if (me == 0) a.count[own] = a.end;

  const int32_t root = a.slots[own], capacity = a.capacity[own];
  uint64_t taken = ~uint64_t{0};
  int chosen = 0;
  for (; chosen < a.k; ++chosen) {
    const int32_t slot = plus(root, (a.level - 1) * a.k + chosen);
    if (slot < 0 || slot >= capacity) break;
    uint64_t next = kNoKey;
    for (int at = a.start + me; at < a.end; at += 32) {
      const uint64_t key = values[at] > -kInfinity ? key_of(values[at], at) : kNoKey;
      next = key < taken ? max_key(next, key) : next;
    }
    taken = warp_max_key(next);
    if (taken == kNoKey) break;
    if (me == 0) a.picked[int64_t{own} * a.k + chosen] = number_of(taken);
  }
  if (me == 0) a.chosen[own] = chosen;
}

/// Writes the rows of the next level, those of all sequences side by side.
HB_KERNEL void HB_BOUNDS(32, 16) draft_next_kernel(ExpandArgs a) {
  const int own = static_cast<int>(block_x()), me = static_cast<int>(lane());
  int begin = 0, total = 0;
  for (int base = 0; base < a.b; base += 32) {
    const int mine = base + me < a.b ? a.chosen[base + me] : 0;
    const int up_to = warp_scan(mine), before = total + up_to - mine;
    if (base <= own && own < base + 32) begin = shuffle(kAllLanes, before, own - base);
    total += shuffle(kAllLanes, up_to, 31);
  }
  const int count = own < a.b ? a.chosen[own] : 0;
  for (int i = me; i < count; i += 32) {
    const int at = begin + i, candidate = a.picked[int64_t{own} * a.k + i];
    const int row = a.run[own] + (candidate - a.start) / a.k, bit = (a.level - 1) * a.k + i;
    const int64_t from = int64_t{own} * a.columns + candidate;
    const int32_t root = a.slots[own];
    a.next_token[at] = a.tokens[from];
    a.next_source[at] = row;
    a.next_seq[at] = own;
    a.next_position[at] = plus(a.positions[own], a.level - 1);
    a.next_slot[at] = plus(root, bit);
    a.next_visible[at] = root;
    a.next_own[2 * int64_t{at}] = root;
    a.next_own[2 * int64_t{at} + 1] = plus(root, a.level * a.k);
    HB_UNROLL
    for (int w = 0; w < 4; ++w) {
      const uint32_t above = a.ancestors ? static_cast<uint32_t>(a.ancestors[4 * int64_t{row} + w]) : 0;
      a.next_ancestors[4 * int64_t{at} + w] = static_cast<int32_t>(above | (bit / 32 == w ? 1u << bit % 32 : 0));
    }
    a.next_node[at] = candidate;
    a.next_reached[at] = a.values[from];
  }
  const int all = a.b * a.k;
  for (int at = total + own * 32 + me; at < all; at += static_cast<int>(blocks_x()) * 32) {
    a.next_token[at] = a.next_source[at] = a.next_seq[at] = a.next_position[at] = a.next_visible[at] = 0;
    a.next_node[at] = 0, a.next_slot[at] = -1, a.next_reached[at] = 0;
    a.next_own[2 * int64_t{at}] = a.next_own[2 * int64_t{at} + 1] = 0;
    for (int w = 0; w < 4; ++w) a.next_ancestors[4 * int64_t{at} + w] = 0;
  }
  if (own == 0 && me == 0) *a.next_rows = total;
}

int32_t* ints(const TensorView& t) { return t ? t.as<int32_t>() : nullptr; }
unsigned blocks_of(int64_t batch) { return static_cast<unsigned>(batch > 0 ? batch : 1); }

}  // namespace

Status draft_extend_cuda(const OpContext& cx, const DraftExtend& a) {
  const int64_t b = a.accepted.dims[0];
  const ExtendArgs args = {ints(a.target),
                           ints(a.path),
                           ints(a.accepted),
                           ints(a.first),
                           ints(a.positions),
                           ints(a.slots),
                           ints(a.finished),
                           ints(a.wanted),
                           ints(a.source),
                           ints(a.token),
                           ints(a.seq),
                           ints(a.position),
                           ints(a.slot),
                           ints(a.visible),
                           ints(a.rows),
                           ints(a.last),
                           ints(a.last_seq),
                           ints(a.live),
                           static_cast<int>(a.target.dims[0]),
                           static_cast<int>(b),
                           static_cast<int>(a.path.dims[1]),
                           device(cx).flags};
  return launch(device(cx).stream, draft_extend_kernel, {blocks_of(b)}, {32}, 0, args);
}

size_t draft_expand_workspace(const DraftExpand& a, int) {
  return static_cast<size_t>(a.count.dims[0] * (2 + a.token.dims[1]) * 4);
}

Status draft_expand_cuda(const OpContext& cx, const DraftExpand& a) {
  const int64_t b = a.count.dims[0], k = a.token.dims[1];
  int32_t* scratch = static_cast<int32_t*>(cx.scratch);
  const ExpandArgs args = {ints(a.token),
                           ints(a.seq),
                           ints(a.node),
                           ints(a.ancestors),
                           ints(a.rows),
                           ints(a.positions),
                           ints(a.slots),
                           ints(a.capacity),
                           ints(a.stop),
                           a.value.as<float>(),
                           a.reached ? a.reached.as<float>() : nullptr,
                           ints(a.tokens),
                           ints(a.parents),
                           ints(a.count),
                           a.values.as<float>(),
                           ints(a.next_token),
                           ints(a.next_source),
                           ints(a.next_seq),
                           ints(a.next_position),
                           ints(a.next_slot),
                           ints(a.next_visible),
                           ints(a.next_own),
                           ints(a.next_ancestors),
                           ints(a.next_node),
                           ints(a.next_rows),
                           a.next_reached.as<float>(),
                           scratch,
                           scratch + b,
                           scratch + 2 * b,
                           static_cast<int>(a.token.dims[0]),
                           static_cast<int>(b),
                           static_cast<int>(k),
                           static_cast<int>(a.tokens.dims[1]),
                           a.stop ? static_cast<int>(a.stop.dims[1]) : 0,
                           static_cast<int>(a.level),
                           static_cast<int>(draft_candidates(a.level, k)),
                           static_cast<int>(draft_candidates(a.level + 1, k)),
                           device(cx).flags};
  void* const stream = device(cx).stream;
  const Status status = launch(stream, draft_children_kernel, {blocks_of(b)}, {32}, 0, args);
  return status.ok() ? launch(stream, draft_next_kernel, {blocks_of(b)}, {32}, 0, args) : status;
}

}  // namespace hb::cuda
