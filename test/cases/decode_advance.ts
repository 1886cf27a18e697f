import type { OpCases } from '../kit/cases.js';
import { counts, operand } from '../kit/cases.js';

interface Sequence {
  token: number;
  limit: number;
  output: number;
  finished?: 0 | 1 | 2;
}

function one(
  name: string,
  tag: 'small' | 'edge' | 'perf',
  sequences: Sequence[],
  stop: number[],
  live = sequences.length,
): OpCases['cases'][number] {
  const n = sequences.length;
  const column = (pick: (s: Sequence, i: number) => number) => counts(sequences.map(pick));
  return {
    name,
    tags: [tag],
    dims: { N: n, K: stop.length },
    build: () => ({
      operands: {
        token: column((s) => s.token),
        stop: counts(stop),
        limit: column((s) => s.limit),
        tokens: column((_, i) => 100 + i),
        positions: column((_, i) => 30 * i + 7),
        slots: column((_, i) => 64 * i + 9),
        visible: column((_, i) => 64 * i + 10),
        output: column((s) => s.output),
        finished: column((s) => s.finished ?? 0),
        live: counts([live]),
      },
      attributes: {},
    }),
  };
}

const states = ['tokens', 'positions', 'slots', 'visible', 'output', 'finished', 'live'] as const;

export const cases: OpCases = {
  op: 'decode_advance',
  cases: [
    one('runs on', 'small', [{ token: 5, limit: 10, output: 0 }], [2, -1]),
    one(
      'one of each',
      'small',
      [
        { token: 5, limit: 10, output: 3 },
        { token: 2, limit: 10, output: 3 },
        { token: 5, limit: 4, output: 3 },
        { token: 5, limit: 10, output: 3, finished: 1 },
        { token: 2, limit: 10, output: 3, finished: 2 },
      ],
      [2, 77],
    ),
    one(
      'the last one stops',
      'edge',
      [
        { token: 77, limit: 10, output: 1 },
        { token: 1, limit: 1, output: 1, finished: 2 },
      ],
      [2, 77],
    ),
    one('a stop token at the limit', 'edge', [{ token: 2, limit: 4, output: 3 }], [2]),
    one(
      'all had finished',
      'edge',
      [
        { token: 9, limit: 4, output: 4, finished: 2 },
        { token: 9, limit: 4, output: 2, finished: 1 },
      ],
      [2],
      0,
    ),
    one('unused stop entries', 'edge', [{ token: -1, limit: 9, output: 0 }], [-1, -1]),
    one('no stop tokens', 'edge', [{ token: 2, limit: 9, output: 0 }], []),
    one('a limit of nothing', 'edge', [{ token: 5, limit: 0, output: 0 }], [2]),
    one('no sequences', 'edge', [], [2], 0),
    one(
      'many',
      'perf',
      Array.from({ length: 256 }, (_, i) => ({ token: i % 9, limit: 40, output: i % 41 })),
      [3, 4],
    ),
  ],
  oracle({ operands }) {
    const token = operand(operands, 'token').data;
    const stop = Array.from(operand(operands, 'stop').data).filter((t) => t >= 0);
    const limit = operand(operands, 'limit').data;
    const n = token.length;
    const state = Object.fromEntries(states.map((name) => [name, Array.from(operand(operands, name).data)])) as Record<
      (typeof states)[number],
      number[]
    >;
    const event: number[] = [];
    for (let i = 0; i < n; i++) {
      const t = token[i] as number;
      const index = state.output[i] as number;
      if (state.finished[i] !== 0) {
        event.push(-1, index, state.finished[i] as number, 0);
        continue;
      }
      if (stop.includes(t)) {
        state.finished[i] = 1;
      } else {
        state.output[i] = index + 1;
        if (index + 1 >= (limit[i] as number)) {
          state.finished[i] = 2;
        } else {
          state.tokens[i] = t;
          for (const name of ['positions', 'slots', 'visible'] as const)
            state[name][i] = (state[name][i] as number) + 1;
        }
      }
      event.push(t, index, state.finished[i] as number, 1);
    }
    state.live = [state.finished.includes(0) ? n : 0];
    return {
      ...Object.fromEntries(
        states.map((name) => [name, { shape: [state[name].length], data: Float64Array.from(state[name]) }]),
      ),
      event: { shape: [n, 4], data: Float64Array.from(event) },
    };
  },
  exact: [...states, 'event'],
};
