import type { OpCases, Rng } from '../kit/cases.js';
import { between, counts, integer, normals, operand, real, values } from '../kit/cases.js';
import { exponential, philox } from '../kit/philox.js';

type Logits = (rng: Rng, n: number, v: number) => ArrayLike<number>;

interface Shape {
  v: number;
  /** Sequence of each row. */
  seq: number[];
  /** Temperature of each sequence. */
  temperature: number[];
  k: number;
  depth?: number;
  beta?: number;
  logits?: Logits;
  /** Target ids: rising ones with gaps, some of them negative, or (default) none given. */
  ids?: 'rising' | 'some' | 'none';
  rows?: number;
}

const spread =
  (scale: number): Logits =>
  (rng, n, v) =>
    normals(rng, 'f32', [n, v], { scale }).data;
const steps =
  (count: number): Logits =>
  (rng, n, v) =>
    Float64Array.from({ length: n * v }, () => Math.floor(rng() * count));
const masked: Logits = (rng, n, v) => Float64Array.from(spread(3)(rng, n, v), (x) => (rng() < 0.9 ? -Infinity : x));
const broken: Logits = (_rng, n, v) => {
  const rows: ((i: number) => number)[] = [
    (i) => (i === 3 ? NaN : i % 5),
    (i) => (i === 3 ? Infinity : i % 5),
    () => -Infinity,
    () => NaN,
    (i) => i % 5,
    (i) => (i === 7 ? 2 : -Infinity),
  ];
  return Float64Array.from({ length: n * v }, (_, i) => (rows[Math.floor(i / v) % rows.length] ?? (() => 0))(i % v));
};

function one(name: string, tag: 'small' | 'edge' | 'perf', s: Shape): OpCases['cases'][number] {
  const n = s.seq.length;
  const b = s.temperature.length;
  return {
    name,
    tags: [tag],
    dims: { N: n, V: s.v, B: b, K: s.k },
    build: (rng) => {
      let id = 0;
      const ids = Array.from({ length: s.v }, () => {
        id += between(rng, 1, 4);
        return s.ids === 'some' && rng() < 0.5 ? -1 : id;
      });
      const word = () => Math.floor(rng() * 2 ** 32) | 0;
      return {
        operands: {
          logits: values('f32', [n, s.v], (s.logits ?? spread(3))(rng, n, s.v)),
          seq: counts(s.seq),
          temperature: values('f32', [b], s.temperature),
          seed: counts(
            s.temperature.flatMap(() => [word(), word()]),
            [b, 2],
          ),
          output: counts(s.temperature.map(() => between(rng, 0, 500))),
          ...(s.ids === undefined || s.ids === 'none' ? {} : { ids: counts(ids) }),
          ...(s.rows === undefined ? {} : { rows: counts([s.rows]) }),
        },
        attributes: {
          k: s.k,
          ...(s.depth === undefined ? {} : { depth: s.depth }),
          ...(s.beta === undefined ? {} : { beta: s.beta }),
        },
      };
    },
  };
}

/** `count` rows of each of some sequences. */
const rowsOf = (count: number, ...seqs: number[]) => seqs.flatMap((s) => Array.from({ length: count }, () => s));

export const cases: OpCases = {
  op: 'draft_topk',
  cases: [
    one('greedy', 'small', { v: 257, seq: rowsOf(4, 0), temperature: [0], k: 4 }),
    one('noise', 'small', { v: 257, seq: rowsOf(4, 0), temperature: [1], k: 4, depth: 2, beta: 1.5 }),
    one('reduced vocabulary', 'small', {
      v: 200,
      seq: rowsOf(3, 0),
      temperature: [0.7],
      k: 6,
      depth: 1,
      ids: 'rising',
    }),
    one('several sequences', 'small', {
      v: 120,
      seq: rowsOf(3, 0, 1, 2, 3),
      temperature: [0.3, 0, 1.5, 1],
      k: 3,
      depth: 3,
      ids: 'rising',
    }),
    one('roots of a batch', 'small', { v: 300, seq: [1, 3], temperature: [0, 0.7, 1, 1.3], k: 8, beta: 0.5 }),
    one('rows of a sequence apart', 'edge', { v: 90, seq: [0, 1, 0, 1], temperature: [1, 0.5], k: 2 }),
    one('greedy ties', 'edge', { v: 300, seq: rowsOf(5, 0), temperature: [0], k: 7, logits: steps(3) }),
    one('no temperatures', 'edge', { v: 90, seq: [0, 1, 2, 3], temperature: [-1, NaN, -0, -Infinity], k: 3 }),
    one('extreme temperatures', 'edge', {
      v: 200,
      seq: [0, 1, 2, 3, 4],
      temperature: [1e-45, 1e-6, 1e6, 3e38, Infinity],
      k: 5,
    }),
    one('extreme betas', 'edge', { v: 100, seq: [0], temperature: [1], k: 5, beta: 1e-3 }),
    one('flat values', 'edge', { v: 100, seq: [0], temperature: [1], k: 5, beta: 1e3 }),
    one('extreme logits', 'edge', { v: 130, seq: [0, 1], temperature: [1, 0], k: 3, logits: spread(1e37) }),
    one('masked', 'edge', { v: 1000, seq: [0, 1], temperature: [1, 0], k: 8, logits: masked }),
    one('NaN, infinite and fully masked rows', 'edge', {
      v: 70,
      seq: rowsOf(6, 0, 1),
      temperature: [0, 1],
      k: 4,
      logits: broken,
    }),
    one('ids that are never drafted', 'edge', { v: 140, seq: [0, 1], temperature: [1, 0], k: 9, ids: 'some' }),
    one('more children than tokens', 'edge', { v: 3, seq: [0, 1], temperature: [1, 0], k: 5 }),
    one('one token', 'edge', { v: 1, seq: [0, 1], temperature: [1, 0], k: 1 }),
    one('most children', 'edge', { v: 66, seq: [0, 1], temperature: [1, 0], k: 32 }),
    one('one more than a segment', 'edge', { v: 8193, seq: [0, 0, 1], temperature: [1, 0], k: 10, logits: spread(1) }),
    one('sequences out of range', 'edge', { v: 50, seq: [-3, 9], temperature: [1, 0], k: 2 }),
    one('some live rows', 'edge', { v: 400, seq: rowsOf(3, 0, 1), temperature: [1, 0.2], k: 5, rows: 4 }),
    one('no live rows', 'edge', { v: 40, seq: rowsOf(3, 0), temperature: [1], k: 5, rows: 0 }),
    one('no rows', 'edge', { v: 40, seq: [], temperature: [1], k: 5 }),
    one('10 nodes over 32000 tokens', 'perf', {
      v: 32000,
      seq: rowsOf(10, 0),
      temperature: [1],
      k: 10,
      ids: 'rising',
      logits: spread(2.5),
    }),
  ],
  oracle({ operands, attributes }) {
    const logits = operand(operands, 'logits');
    const [n = 0, v = 0] = logits.shape;
    const number = (name: string, i: number) => operand(operands, name).data[i] as number;
    const live = operands.rows ? Math.min(n, Number(operands.rows.data[0])) : n;
    const k = integer(attributes, 'k');
    const depth = attributes.depth === undefined ? 0 : integer(attributes, 'depth');
    const b = operand(operands, 'temperature').shape[0] as number;
    const token = new Float64Array(n * k).fill(-1);
    const value = new Float64Array(n * k).fill(-Infinity);
    for (let row = 0; row < live; row++) {
      const x = Array.from(logits.data.subarray(row * v, (row + 1) * v), Number);
      const largest = Math.max(...x);
      if (!Number.isFinite(largest)) continue;
      const seq = Math.max(0, Math.min(b - 1, number('seq', row)));
      const temperature = number('temperature', seq);
      const noisy = temperature > 0;
      const target = (i: number) => (operands.ids ? number('ids', i) : i);
      const gumbel = (id: number) => {
        const words = philox(
          [number('seed', 2 * seq), number('seed', 2 * seq + 1)],
          [Math.floor(id / 4), number('output', seq) + depth, 0, 0],
        );
        return -Math.log(exponential(words[id % 4] as number));
      };
      const scores = x.map((l, i) => {
        if (target(i) < 0) return -Infinity;
        const d = l === largest ? 0 : l - largest;
        // f32 is where a logit far below the largest ends
        if (!noisy) return Math.fround(d);
        return Math.fround(d / Math.min(temperature, 3.4028234663852886e38)) + gumbel(target(i));
      });
      const beta = noisy && attributes.beta !== undefined ? real(attributes, 'beta') : 1;
      const ranked = scores
        .map((_, i) => i)
        .filter((i) => (scores[i] as number) > -Infinity)
        .sort((i, j) => (scores[j] as number) - (scores[i] as number) || i - j);
      const top = scores[ranked[0] as number] as number;
      const mass = ranked.reduce((sum, i) => sum + Math.exp(((scores[i] as number) - top) / beta), 0);
      ranked.slice(0, k).forEach((i, c) => {
        token[row * k + c] = target(i);
        value[row * k + c] = ((scores[i] as number) - top) / beta - Math.log(mass);
      });
    }
    return { token: { shape: [n, k], data: token }, value: { shape: [n, k], data: value } };
  },
  exact: ['token'],
  tolerance: { f32: 4e-6, bf16: 0 },
};
