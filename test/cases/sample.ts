import { counts, type OpCases, operand } from '../kit/cases.js';
import { exponential, philox } from '../kit/philox.js';
import {
  type Ask,
  brokenRows,
  keptIds,
  type Logits,
  liveRows,
  masked,
  type Rows,
  sequenceOf,
  settingOperands,
  spread,
  steps,
} from '../kit/sampling.js';

function one(
  name: string,
  tag: 'small' | 'edge' | 'perf',
  v: number,
  asks: Ask[],
  logits: Logits,
  rows: Rows = {},
): OpCases['cases'][number] {
  const n = rows.seq?.length ?? asks.length;
  return {
    name,
    tags: [tag],
    dims: { N: n, V: v, B: asks.length },
    build: (rng) => {
      const operands = settingOperands(rng, v, asks, logits, rows);
      const seed = asks.flatMap(() => [Math.floor(rng() * 2 ** 32) | 0, Math.floor(rng() * 2 ** 32) | 0]);
      operands.seed = counts(seed, [asks.length, 2]);
      operands.position = counts(Array.from({ length: n }, () => Math.floor(rng() * 4096)));
      return { operands, attributes: {} };
    },
  };
}

const times = (n: number, ask: Ask): Ask[] => Array.from({ length: n }, () => ask);

const broken = brokenRows();

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
    one('64 rows', 'edge', 301, [{ temperature: 0.8 }, { topK: 20 }, { topP: 0.7 }], spread(3), {
      seq: Array.from({ length: 64 }, (_, i) => i % 3),
    }),
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
    one('NaN, infinite and fully masked rows', 'edge', 70, broken.asks, broken.logits),
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
    // the nodes of one tree
    ...[640, 152064].flatMap((v) =>
      [16, 64, 128].map((nodes) => ({
        ...one(`${nodes} nodes, ${v} tokens`, 'perf', v, [{ temperature: 0.7 }], spread(2.5), {
          seq: new Array<number>(nodes).fill(0),
        }),
        sampleRows: 2,
      })),
    ),
  ],
  oracle({ operands }) {
    const n = operand(operands, 'logits').shape[0] as number;
    const number = (name: string, i: number) => operand(operands, name).data[i] as number;
    const token = new Float64Array(n);
    for (let row = 0; row < liveRows(operands); row++) {
      const { ids, scaled } = keptIds(operands, row);
      const seq = sequenceOf(operands, row);
      let best = -Infinity;
      for (const id of ids) {
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
