import type { OpCases, Rng } from '../kit/cases.js';
import { counts, normals, operand, values } from '../kit/cases.js';
import { exponential, philox } from '../kit/philox.js';

/** What a row asks for; filters are off by default. */
interface Ask {
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
}

type Logits = (rng: Rng, n: number, v: number) => ArrayLike<number>;

const spread =
  (scale: number): Logits =>
  (rng, n, v) =>
    normals(rng, 'f32', [n, v], { scale }).data;
/** Few different values, so that most of the ranking is ties. */
const steps =
  (count: number): Logits =>
  (rng, n, v) =>
    Float64Array.from({ length: n * v }, () => Math.floor(rng() * count));
/** Normal logits of which most are masked. */
const masked: Logits = (rng, n, v) => Float64Array.from(spread(3)(rng, n, v), (x) => (rng() < 0.9 ? -Infinity : x));

function one(
  name: string,
  tag: 'small' | 'edge' | 'perf',
  v: number,
  asks: Ask[],
  logits: Logits,
  { rows, seq = asks.map((_, i) => i) }: { rows?: number; seq?: number[] } = {},
): OpCases['cases'][number] {
  const n = seq.length;
  const b = asks.length;
  const column = (pick: (ask: Ask) => number) => values('f32', [b], asks.map(pick));
  return {
    name,
    tags: [tag],
    dims: { N: n, V: v, B: b },
    build: (rng) => ({
      operands: {
        logits: values('f32', [n, v], logits(rng, n, v)),
        seq: counts(seq),
        temperature: column((ask) => ask.temperature ?? 1),
        top_k: counts(asks.map((ask) => ask.topK ?? 0)),
        top_p: column((ask) => ask.topP ?? 1),
        min_p: column((ask) => ask.minP ?? 0),
        seed: counts(
          asks.flatMap(() => [Math.floor(rng() * 2 ** 32) | 0, Math.floor(rng() * 2 ** 32) | 0]),
          [b, 2],
        ),
        position: counts(seq.map(() => Math.floor(rng() * 4096))),
        ...(rows === undefined ? {} : { rows: counts([rows]) }),
      },
      attributes: {},
    }),
  };
}

const times = (n: number, ask: Ask): Ask[] => Array.from({ length: n }, () => ask);

/** A row with one special element among ordinary ones, or filled with one value. */
function broken(): OpCases['cases'][number] {
  const rows: ((i: number) => number)[] = [
    (i) => (i === 3 ? NaN : i % 5),
    (i) => (i === 3 || i === 9 ? Infinity : i % 5),
    () => -Infinity,
    () => NaN,
    (i) => (i < 2 ? NaN : -Infinity),
    (i) => (i === 0 ? NaN : 7),
    (i) => i % 5,
  ];
  const fill: Logits = (_rng, n, v) =>
    Float64Array.from({ length: n * v }, (_, i) => (rows[Math.floor(i / v)] ?? (() => 0))(i % v));
  const asks = rows.map((_, i): Ask => ({ temperature: i % 2 === 0 ? 0 : 1, topK: 4 }));
  return one('NaN, infinite and fully masked rows', 'edge', 70, asks, fill);
}

export const cases: OpCases = {
  op: 'sample',
  cases: [
    one('greedy', 'small', 257, times(5, { temperature: 0 }), spread(4)),
    one(
      'temperatures',
      'small',
      100,
      [0.1, 0.5, 0.7, 1, 1.3, 2].map((temperature) => ({ temperature })),
      spread(3),
    ),
    one(
      'top_k',
      'small',
      500,
      [1, 2, 5, 40, 499, 500, 9999, -3].map((topK) => ({ topK })),
      spread(2),
    ),
    one(
      'top_p',
      'small',
      500,
      [0.01, 0.3, 0.8, 0.95, 0.999].map((topP) => ({ topP })),
      spread(2),
    ),
    one(
      'min_p',
      'small',
      500,
      [0.001, 0.05, 0.5, 0.99].map((minP) => ({ minP })),
      spread(2),
    ),
    one(
      'rows of trees',
      'small',
      90,
      [{ temperature: 0 }, { temperature: 0.9, topK: 12 }, { temperature: 1.4, topP: 0.8 }],
      spread(2),
      { seq: [1, 1, 0, 2, 1, 2, 2, 0] },
    ),
    one('sequences out of range', 'edge', 40, [{}, { temperature: 0.5 }], spread(1), { seq: [0, -1, 1, 2, 2 ** 30] }),
    one('all filters', 'small', 700, times(12, { temperature: 0.8, topK: 30, topP: 0.9, minP: 0.02 }), spread(1.5)),
    one(
      'greedy ties',
      'edge',
      300,
      [0, -1, NaN, -Infinity, -0].map((temperature) => ({ temperature })),
      steps(3),
    ),
    one(
      'top_k among ties',
      'edge',
      300,
      [1, 3, 64, 65, 200].map((topK) => ({ topK })),
      steps(2),
    ),
    one(
      'top_p among ties',
      'edge',
      300,
      [0.001, 0.1, 0.45].map((topP) => ({ topP })),
      steps(3),
    ),
    one(
      'top_p: only the best',
      'edge',
      90,
      [0, -1, 1e-30, 1e-9].map((topP) => ({ topP })),
      spread(1),
    ),
    one(
      'filters that keep all',
      'edge',
      90,
      [
        { topP: NaN, minP: NaN },
        { topP: 2, minP: -1 },
      ],
      spread(1),
    ),
    one('min_p of 1 and more', 'edge', 90, [{ minP: 1 }, { minP: 5 }], steps(4)),
    one(
      'extreme temperatures',
      'edge',
      200,
      [1e-45, 1e-38, 1e-6, 1e6, 3e38, Infinity].map((temperature) => ({ temperature })),
      spread(5),
    ),
    one(
      'extreme temperatures among ties',
      'edge',
      200,
      [1e-45, 1e-38, Infinity].map((temperature) => ({ temperature })),
      steps(3),
    ),
    one('extreme logits', 'edge', 130, [{}, { topP: 0.9 }, { topK: 3 }, { minP: 0.1 }], spread(1e37)),
    one(
      'masked',
      'edge',
      1000,
      [{}, { topK: 500 }, { topP: 0.999 }, { minP: 0.01 }, { temperature: 0 }, { temperature: Infinity }],
      masked,
    ),
    broken(),
    one('one token', 'edge', 1, [{ temperature: 0 }, {}, { topK: 1 }, { topP: 0.1 }], spread(1)),
    one('one more than a chunk', 'edge', 65, times(4, { topK: 7, topP: 0.7 }), spread(1)),
    one('one more than a segment', 'edge', 8193, [{}, { topK: 1024 }, { topP: 0.5 }], spread(1)),
    // flat rows need more than a short list: the perturbed winner is tested, then the next best few
    one(
      'wide top_p',
      'edge',
      20000,
      [0.3, 0.6, 0.9].map((topP) => ({ topP })),
      spread(0.3),
    ),
    one('narrow top_p of a flat row', 'edge', 20000, times(6, { topP: 0.05 }), spread(0.05)),
    one(
      'large top_k',
      'edge',
      20000,
      [{ topK: 3000 }, { topK: 1025 }, { topK: 3000, topP: 0.8 }, { topK: 1500, minP: 0.4 }],
      spread(0.5),
    ),
    one('flat row', 'edge', 20000, [{}, { topK: 2000 }, { topK: 10 }, { topP: 0.4 }], steps(1)),
    one('some live rows', 'edge', 400, times(6, { topK: 50 }), spread(2), { rows: 4 }),
    one('no live rows', 'edge', 40, times(3, {}), spread(2), { rows: 0 }),
    one('no rows', 'edge', 40, [], spread(2)),
    one(
      'vocabulary of the 7B model',
      'perf',
      152064,
      [{}, { temperature: 0 }, { temperature: 0.7, topK: 20, topP: 0.8 }, { topP: 0.95 }, { minP: 0.05 }],
      spread(2.5),
    ),
  ],
  oracle({ operands }) {
    const logits = operand(operands, 'logits');
    const [n = 0, v = 0] = logits.shape;
    const number = (name: string, i: number) => operand(operands, name).data[i] as number;
    const live = operands.rows ? Math.min(n, Number(operands.rows.data[0])) : n;
    const batch = operand(operands, 'temperature').data.length;
    const token = new Float64Array(n);
    for (let row = 0; row < live; row++) {
      const x = logits.data.subarray(row * v, (row + 1) * v);
      let largest = -Infinity;
      let ordinary = true;
      for (const l of x) {
        if (l > largest) largest = l;
        if (Number.isNaN(l)) ordinary = false;
      }
      const seq = Math.min(Math.max(number('seq', row), 0), batch - 1);
      const temperature = number('temperature', seq);
      if (!ordinary || !Number.isFinite(largest) || !(temperature > 0)) {
        token[row] = Math.max(0, x.indexOf(largest as never));
        continue;
      }
      const scaled = Float64Array.from(x, (l) => (l === largest ? 0 : (l - largest) / Math.min(temperature, 3.4e38)));
      let kept = Array.from({ length: v }, (_, id) => id);
      const topK = number('top_k', seq);
      const topP = number('top_p', seq);
      const minP = number('min_p', seq);
      if ((topK > 0 && topK < v) || topP < 1) kept.sort((a, b) => (x[b] as number) - (x[a] as number) || a - b);
      if (topK > 0) kept = kept.slice(0, topK);
      if (topP < 1) {
        let total = 0;
        for (const id of kept) total += Math.exp(scaled[id] as number);
        let before = 0;
        let count = 0;
        while (count < kept.length && (count === 0 || before < topP * total))
          before += Math.exp(scaled[kept[count++] as number] as number);
        kept = kept.slice(0, count);
      }
      if (minP > 0) kept = kept.filter((id) => Math.exp(scaled[id] as number) >= Math.min(minP, 1));
      let best = -Infinity;
      kept.sort((a, b) => a - b);
      for (const id of kept) {
        const words = philox(
          [number('seed', 2 * seq), number('seed', 2 * seq + 1)],
          [Math.floor(id / 4), number('position', row), 0, 0],
        );
        const value = (scaled[id] as number) - Math.log(exponential(words[id % 4] as number));
        if (value > best) {
          best = value;
          token[row] = id;
        }
      }
    }
    return { token: { shape: [n], data: token } };
  },
  exact: ['token'],
};
