import type { OpCases, Rng } from '../kit/cases.js';
import { between, counts, operand } from '../kit/cases.js';

/** A sequence of the round: nodes of its tree, the accepted ones, whether it goes on. */
interface Seq {
  nodes: number;
  path: number[];
  finished?: number;
  /** Without it in any sequence the operand is left out. */
  wanted?: number;
  /** What `accepted` says; default: all of the path. */
  accepted?: number;
}

interface Shape {
  seqs: Seq[];
  /** Rows of the round beyond its trees. */
  spare?: number;
  width?: number;
}

function one(
  name: string,
  tag: 'small' | 'edge' | 'perf',
  { seqs, spare = 3, width = 8 }: Shape,
): OpCases['cases'][number] {
  const first = [0];
  for (const s of seqs) first.push((first.at(-1) as number) + s.nodes);
  const n = (first.at(-1) as number) + spare;
  return {
    name,
    tags: [tag],
    dims: { N: n, B: seqs.length, W: width },
    build: (rng) => ({
      operands: {
        target: counts(Array.from({ length: n }, () => between(rng, 0, 999))),
        path: counts(
          seqs.flatMap(({ path }) => Array.from({ length: width }, (_, j) => path[j] ?? -1)),
          [seqs.length, width],
        ),
        accepted: counts(seqs.map((s) => s.accepted ?? s.path.length)),
        first: counts(first),
        positions: counts(seqs.map(() => between(rng, 20, 500))),
        slots: counts(seqs.map(() => between(rng, 20, 900))),
        finished: counts(seqs.map((s) => s.finished ?? 0)),
        ...(seqs.some((s) => s.wanted !== undefined) ? { wanted: counts(seqs.map((s) => s.wanted ?? 1)) } : {}),
      },
      attributes: {},
    }),
  };
}

/** A path through a tree of many nodes. */
function longPath(rng: Rng, nodes: number): number[] {
  return Array.from({ length: nodes }, (_, i) => i).filter((i) => i === 0 || rng() < 0.4);
}

const steady = (() => {
  let state = 1;
  return () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
})();

export const cases: OpCases = {
  op: 'draft_extend',
  cases: [
    one('one sequence', 'small', { seqs: [{ nodes: 7, path: [0, 1, 4] }] }),
    one('a plain step', 'small', { seqs: [{ nodes: 1, path: [0] }], spare: 0 }),
    one('several', 'small', {
      seqs: [
        { nodes: 4, path: [0, 3] },
        { nodes: 1, path: [0] },
        { nodes: 6, path: [0, 1, 2, 5] },
      ],
    }),
    one('some finish, some have', 'small', {
      seqs: [
        { nodes: 4, path: [0, 1], finished: 1 },
        { nodes: 0, path: [], finished: 2 },
        { nodes: 3, path: [0, 2] },
        { nodes: 2, path: [0], finished: 2 },
        { nodes: 2, path: [0, 1] },
      ],
    }),
    one('some want no drafts', 'small', {
      seqs: [
        { nodes: 4, path: [0, 1], wanted: 0 },
        { nodes: 3, path: [0, 2], wanted: -1 },
        { nodes: 2, path: [0], finished: 2, wanted: 1 },
        { nodes: 2, path: [0, 1], wanted: 1 },
      ],
    }),
    one('all have finished', 'edge', { seqs: [0, 1].map(() => ({ nodes: 0, path: [], finished: 1 })) }),
    one('path as wide as it may be', 'edge', { seqs: [{ nodes: 8, path: [0, 1, 2, 3] }], width: 4 }),
    one('accepted out of range', 'edge', {
      seqs: [
        { nodes: 3, path: [0, 1], accepted: 99 },
        { nodes: 3, path: [0], accepted: -4 },
      ],
      width: 2,
    }),
    one('path out of range', 'edge', { seqs: [{ nodes: 2, path: [0, 7, 2 ** 31 - 1, -2] }] }),
    one('more entries than rows', 'edge', {
      seqs: [
        { nodes: 1, path: [0, 0, 0] },
        { nodes: 1, path: [0] },
      ],
      spare: 0,
    }),
    one('no sequences', 'edge', { seqs: [] }),
    one('no rows', 'edge', { seqs: [{ nodes: 0, path: [0] }], spare: 0 }),
    one('eight trees of 128', 'perf', {
      seqs: Array.from({ length: 8 }, () => ({ nodes: 128, path: longPath(steady, 128) })),
      width: 128,
    }),
  ],
  oracle({ operands }) {
    const list = (name: string) => Array.from(operand(operands, name).data);
    const target = list('target');
    const [b = 0, width = 0] = operand(operands, 'path').shape;
    const n = target.length;
    const [path, accepted, first, positions, slots, finished] = [
      'path',
      'accepted',
      'first',
      'positions',
      'slots',
      'finished',
    ].map(list) as [number[], number[], number[], number[], number[], number[]];
    const wanted = operands.wanted ? list('wanted') : undefined;
    const entries: { source: number; seq: number; position: number; slot: number }[] = [];
    const last: { entry: number; seq: number }[] = [];
    for (let seq = 0; seq < b; seq++) {
      const count = Math.min(Math.max(0, accepted[seq] as number), width, n - entries.length);
      for (let j = 0; j < count; j++) {
        entries.push({
          source: Math.max(0, Math.min(n - 1, (first[seq] as number) + (path[seq * width + j] as number))),
          seq,
          position: (positions[seq] as number) - count + j,
          slot: (slots[seq] as number) - count + j,
        });
      }
      if (count > 0 && finished[seq] === 0 && wanted?.[seq] !== 0) last.push({ entry: entries.length - 1, seq });
    }
    const column = <T>(rows: T[], length: number, pick: (row: T) => number, rest = 0) => ({
      shape: [length],
      data: Float64Array.from({ length }, (_, i) => (i < rows.length ? pick(rows[i] as T) : rest)),
    });
    return {
      source: column(entries, n, (e) => e.source),
      token: column(entries, n, (e) => target[e.source] as number),
      seq: column(entries, n, (e) => e.seq),
      position: column(entries, n, (e) => e.position),
      slot: column(entries, n, (e) => e.slot, -1),
      visible: column(entries, n, (e) => e.slot + 1),
      rows: { shape: [1], data: Float64Array.of(entries.length) },
      last: column(last, b, (e) => e.entry),
      last_seq: column(last, b, (e) => e.seq),
      live: { shape: [1], data: Float64Array.of(last.length) },
    };
  },
};
