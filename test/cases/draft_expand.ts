import type { OpCases, Rng } from '../kit/cases.js';
import { between, counts, integer, operand, values } from '../kit/cases.js';

interface Shape {
  /** Rows of each sequence at this level; 0: it has none. */
  rows: number[];
  k: number;
  level: number;
  /** Columns behind the candidates. */
  spare?: number;
  /** Rows in use are followed by this many that are not. */
  dead?: number;
  /** Free slots behind each root; default: enough. */
  room?: number[];
  value?: (rng: Rng) => number;
  token?: (rng: Rng) => number;
  node?: (rng: Rng) => number;
  /** Tokens that end each sequence's answer. */
  stop?: number[][];
  /** Sequence of each row instead of those that `rows` says. */
  seq?: number[];
}

const candidates = (level: number, k: number) => (level <= 1 ? 0 : k + (level - 2) * k * k);

function one(name: string, tag: 'small' | 'edge' | 'perf', s: Shape): OpCases['cases'][number] {
  const { k, level, spare = 2, dead = 2 } = s;
  const b = s.rows.length;
  const seq = s.seq ?? s.rows.flatMap((n, i) => Array.from({ length: n }, () => i));
  const n = seq.length + dead;
  const c = candidates(level + 1, k) + spare;
  const start = candidates(level, k);
  const value = s.value ?? ((rng) => Math.log(1 - rng()));
  return {
    name,
    tags: [tag],
    dims: { N: n, K: k, B: b, C: c },
    build: (rng) => {
      const fill = (length: number, next: (rng: Rng) => number) => Array.from({ length }, () => next(rng));
      const slots = fill(b, () => between(rng, 3, 700));
      return {
        operands: {
          token: counts(fill(n * k, s.token ?? (() => between(rng, 0, 999))), [n, k]),
          value: values('f32', [n, k], fill(n * k, value)),
          seq: counts([...seq, ...fill(dead, () => 0)]),
          ...(level === 1
            ? {}
            : {
                node: counts(fill(n, s.node ?? (() => between(rng, 0, start - 1)))),
                reached: values('f32', [n], fill(n, value)),
                ancestors: counts(
                  fill(4 * n, () => 0).map((_, i) =>
                    // a path: one slot of each level above
                    i % 4 === 0 && level > 1 ? (1 << between(rng, 0, Math.min(31, (level - 1) * k - 1))) | 0 : 0,
                  ),
                  [n, 4],
                ),
              }),
          rows: counts([seq.length]),
          positions: counts(fill(b, () => between(rng, 0, 500))),
          slots: counts(slots),
          capacity: counts(slots.map((slot, i) => slot + (s.room?.[i] ?? 128))),
          ...(s.stop ? { stop: counts(s.stop.flat(), [b, s.stop[0]?.length ?? 0]) } : {}),
          tokens: counts(
            fill(b * c, () => -7),
            [b, c],
          ),
          parents: counts(
            fill(b * c, () => -9),
            [b, c],
          ),
          values: values(
            'f32',
            [b, c],
            fill(b * c, () => 5),
          ),
          count: counts(fill(b, () => between(rng, 0, c))),
        },
        attributes: { level },
      };
    },
  };
}

const some = (rng: Rng) => (rng() < 0.5 ? -1 : between(rng, 0, 99));

export const cases: OpCases = {
  op: 'draft_expand',
  cases: [
    one('children of a root', 'small', { rows: [1], k: 4, level: 1 }),
    one('second level', 'small', { rows: [3], k: 3, level: 2 }),
    one('deep', 'small', { rows: [4], k: 4, level: 9 }),
    one('all 128 bits', 'small', { rows: [8], k: 8, level: 16 }),
    one('roots of a batch', 'small', { rows: [1, 0, 1, 1], k: 5, level: 1 }),
    one('a ragged batch', 'small', { rows: [2, 0, 4, 1], k: 4, level: 3, spare: 0 }),
    one('room for more', 'small', { rows: [3, 2], k: 3, level: 2, spare: 20 }),
    one('chains', 'small', { rows: [1, 1], k: 1, level: 5 }),
    one('ties', 'edge', { rows: [4], k: 4, level: 2, value: (rng) => -Math.floor(rng() * 3) }),
    one('fewer children', 'edge', { rows: [2, 1], k: 4, level: 2, token: some }),
    one('tokens that end the answer', 'edge', {
      rows: [2, 3],
      k: 3,
      level: 2,
      token: (rng) => between(rng, 0, 5),
      stop: [
        [3, -1, 4],
        [-1, 0, -1],
      ],
    }),
    one('no children', 'edge', { rows: [2, 1], k: 4, level: 2, token: () => -1 }),
    one('values that are none', 'edge', {
      rows: [2, 2],
      k: 4,
      level: 2,
      value: (rng) => [NaN, -Infinity, Infinity, 3, -1, -2][Math.floor(rng() * 6)] as number,
    }),
    one('nodes out of range', 'edge', { rows: [3, 3], k: 3, level: 2, node: (rng) => between(rng, -3, 8) }),
    one('hardly any room', 'edge', { rows: [3, 3, 3, 3], k: 3, level: 3, room: [0, 7, 8, 128] }),
    one('too many rows', 'edge', { rows: [3, 2], k: 2, level: 2 }),
    one('too many roots', 'edge', { rows: [2, 1], k: 2, level: 1 }),
    one('sequences out of range and order', 'edge', {
      rows: [0, 0, 0],
      k: 2,
      level: 2,
      seq: [-1, 1, 1, 0, 2, 3, 2 ** 30],
    }),
    one('no rows', 'edge', { rows: [0, 0], k: 3, level: 2, dead: 0 }),
    one('no rows in use', 'edge', { rows: [0, 0], k: 3, level: 2 }),
    one('no sequences', 'edge', { rows: [], k: 3, level: 1 }),
    one('most children', 'edge', { rows: [32], k: 32, level: 4 }),
    one('eight sequences of ten', 'perf', { rows: Array.from({ length: 8 }, () => 10), k: 10, level: 6 }),
  ],
  oracle({ operands, attributes }) {
    const list = (name: string) => Array.from(operand(operands, name).data, Number);
    const level = integer(attributes, 'level');
    const k = operand(operands, 'token').shape[1] as number;
    const [b = 0, c = 0] = operand(operands, 'tokens').shape;
    const stops = operands.stop?.shape[1] ?? 0;
    const at = (values: number[], i: number) => values[i] as number;
    const [token, value, seq, positions, slots, capacity] = [
      'token',
      'value',
      'seq',
      'positions',
      'slots',
      'capacity',
    ].map(list) as [number[], number[], number[], number[], number[], number[]];
    const state = { tokens: list('tokens'), parents: list('parents'), values: list('values'), count: list('count') };
    const rows = Math.max(0, Math.min(seq.length, at(list('rows'), 0)));
    const [start, end] = [candidates(level, k), candidates(level + 1, k)];
    const next: { row: number; s: number; column: number; value: number; token: number; rank: number }[] = [];
    // runs of rows of one sequence; a sequence that is no larger than the one before it is left out
    const runs: number[][] = [];
    for (let row = 0; row < rows; row++) {
      if (row > 0 && seq[row] === seq[row - 1]) runs.at(-1)?.push(row);
      else runs.push([row]);
    }
    let last = -1;
    for (const run of runs) {
      const s = at(seq, run[0] as number);
      if (s <= last || s >= b) continue;
      last = s;
      state.count[s] = end;
      for (let column = start; column < end; column++) {
        state.tokens[s * c + column] = 0;
        state.parents[s * c + column] = -1;
        state.values[s * c + column] = -Infinity;
      }
      const children: typeof next = [];
      run.slice(0, level === 1 ? 1 : k).forEach((row, j) => {
        const node = operands.node ? at(list('node'), row) : -1;
        const reached = operands.reached ? at(list('reached'), row) : 0;
        if (node < -1 || node >= start) return;
        for (let i = 0; i < k; i++) {
          const v = at(value, row * k + i);
          const sum = Math.fround(reached + (v < 0 ? v : Number.isNaN(v) ? NaN : 0));
          const ends = operands.stop?.data
            .subarray(s * stops, (s + 1) * stops)
            .includes(at(token, row * k + i) as never);
          if (at(token, row * k + i) < 0 || !Number.isFinite(sum) || ends) continue;
          const column = start + j * k + i;
          state.tokens[s * c + column] = at(token, row * k + i);
          state.parents[s * c + column] = node;
          state.values[s * c + column] = sum;
          children.push({ row, s, column, value: sum, token: at(token, row * k + i), rank: 0 });
        }
      });
      children.sort((x, y) => y.value - x.value || x.column - y.column);
      children.slice(0, k).forEach((child, rank) => {
        if (at(slots, s) + (level - 1) * k + rank < at(capacity, s)) next.push({ ...child, rank });
      });
    }
    const m = b * k;
    const column = (pick: (row: (typeof next)[number]) => number, rest = 0) => ({
      shape: [m],
      data: Float64Array.from({ length: m }, (_, i) => {
        const row = next[i];
        return row ? pick(row) : rest;
      }),
    });
    const own = new Float64Array(2 * m);
    const bits = new Int32Array(4 * m);
    next.forEach(({ row, s, rank }, i) => {
      own[2 * i] = at(slots, s);
      own[2 * i + 1] = at(slots, s) + level * k;
      if (operands.ancestors) bits.set(list('ancestors').slice(4 * row, 4 * row + 4), 4 * i);
      const bit = (level - 1) * k + rank;
      (bits[4 * i + (bit >> 5)] as number) |= 1 << (bit & 31);
    });
    const kept = (shape: number[], data: number[]) => ({ shape, data: Float64Array.from(data) });
    return {
      tokens: kept([b, c], state.tokens),
      parents: kept([b, c], state.parents),
      values: kept([b, c], state.values),
      count: kept([b], state.count),
      next_token: column((r) => r.token),
      next_source: column((r) => r.row),
      next_seq: column((r) => r.s),
      next_position: column((r) => at(positions, r.s) + level - 1),
      next_slot: column((r) => at(slots, r.s) + (level - 1) * k + r.rank, -1),
      next_visible: column((r) => at(slots, r.s)),
      next_own: { shape: [m, 2], data: own },
      next_ancestors: { shape: [m, 4], data: Float64Array.from(bits) },
      next_node: column((r) => r.column),
      next_reached: column((r) => r.value),
      next_rows: kept([1], [next.length]),
    };
  },
  exact: ['values', 'next_reached'],
};
