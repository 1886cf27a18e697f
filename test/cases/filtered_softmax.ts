import type { OpCases } from '../kit/cases.js';
import { operand } from '../kit/cases.js';
import {
  type Ask,
  brokenRows,
  keptIds,
  type Logits,
  liveRows,
  masked,
  type Rows,
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
  return {
    name,
    tags: [tag],
    dims: { N: rows.seq?.length ?? asks.length, V: v, B: asks.length },
    build: (rng) => ({ operands: settingOperands(rng, v, asks, logits, rows), attributes: {} }),
  };
}

const broken = brokenRows();
const each = <K extends keyof Ask>(key: K, list: number[]): Ask[] => list.map((value) => ({ [key]: value }));

export const cases: OpCases = {
  op: 'filtered_softmax',
  cases: [
    one('temperatures', 'small', 100, each('temperature', [0, 0.1, 0.7, 1, 2]), spread(3)),
    one('top_k', 'small', 500, each('topK', [1, 2, 40, 499, 500, 9999, -3]), spread(2)),
    one('top_p', 'small', 500, each('topP', [0.01, 0.3, 0.8, 0.95, 0.999]), spread(2)),
    one('min_p', 'small', 500, each('minP', [0.001, 0.05, 0.5, 0.99]), spread(2)),
    one(
      'all filters',
      'small',
      700,
      Array.from({ length: 8 }, () => ({ temperature: 0.8, topK: 30, topP: 0.9, minP: 0.02 })),
      spread(1.5),
    ),
    one('rows of trees', 'small', 90, [{ temperature: 0 }, { topK: 12 }, { topP: 0.8 }], spread(2), {
      seq: [1, 1, 0, 2, 1],
    }),
    one('sequences out of range', 'edge', 40, [{}, { temperature: 0.5 }], spread(1), { seq: [0, -1, 1, 2, 2 ** 30] }),
    one('greedy ties', 'edge', 300, each('temperature', [0, -1, NaN, -Infinity, -0]), steps(3)),
    one('top_k among ties', 'edge', 300, each('topK', [1, 3, 64, 65, 200]), steps(2)),
    one('top_p among ties', 'edge', 300, each('topP', [0.001, 0.1, 0.45]), steps(3)),
    one('top_p: only the best', 'edge', 90, each('topP', [0, -1, 1e-30, 1e-9]), spread(1)),
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
    one('min_p of 1 and more', 'edge', 90, each('minP', [1, 5]), steps(4)),
    one('extreme temperatures', 'edge', 200, each('temperature', [1e-45, 1e-38, 1e6, 3e38, Infinity]), spread(5)),
    one('extreme logits', 'edge', 130, [{}, { topP: 0.9 }, { topK: 3 }, { minP: 0.1 }], spread(1e37)),
    one('masked', 'edge', 1000, [{}, { topK: 500 }, { topP: 0.999 }, { minP: 0.01 }, { temperature: 0 }], masked),
    one('NaN, infinite and fully masked rows', 'edge', 70, broken.asks, broken.logits),
    one('one token', 'edge', 1, [{ temperature: 0 }, {}, { topK: 1 }, { topP: 0.1 }], spread(1)),
    // the list that covers top_p grows twice
    one('wide top_p', 'edge', 20000, each('topP', [0.05, 0.2, 0.5, 0.7, 0.9]), spread(0.3)),
    one(
      'large top_k',
      'edge',
      20000,
      [{ topK: 3000 }, { topK: 3000, topP: 0.8 }, { topK: 1500, minP: 0.4 }],
      spread(0.5),
    ),
    one('some live rows', 'edge', 400, each('topK', [50, 50, 50, 50, 50]), spread(2), { rows: 3 }),
    one('no live rows', 'edge', 40, [{}, {}], spread(2), { rows: 0 }),
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
    const { shape } = operand(operands, 'logits');
    const [n = 0, v = 0] = shape;
    const data = new Float64Array(n * v);
    for (let row = 0; row < liveRows(operands); row++) {
      const { ids, scaled } = keptIds(operands, row);
      const total = ids.reduce((sum, id) => sum + Math.exp(scaled[id] as number), 0);
      for (const id of ids) data[row * v + id] = Math.exp(scaled[id] as number) / total;
    }
    return { out: { shape, data } };
  },
  // the kernel divides by the temperature in f32: an error of the exponent up to 2^-24 of its size
  tolerance: { f32: 2e-6, bf16: 0 },
};
