import type { OpCases } from '../kit/cases.js';
import { counts, integer, operand } from '../kit/cases.js';

function one(name: string, tag: 'small' | 'edge' | 'perf', x: number[], by: number): OpCases['cases'][number] {
  return {
    name,
    tags: [tag],
    dims: { N: x.length },
    build: () => ({ operands: { x: counts(x) }, attributes: { by } }),
  };
}

export const cases: OpCases = {
  op: 'increment',
  cases: [
    one('a step', 'small', [5], 1),
    one('several counters', 'small', [5, -3, 0, 7], 12),
    one('down', 'edge', [0, 4], -1),
    one('wraps', 'edge', [2147483647, -2147483648, 0], 2147483647),
    one('wraps down', 'edge', [-1, 5], -2147483648),
    one('by nothing', 'edge', [3], 0),
    one('none', 'edge', [], 1),
    one(
      'many',
      'perf',
      Array.from({ length: 4096 }, (_, i) => i),
      3,
    ),
  ],
  oracle({ operands, attributes }) {
    const x = operand(operands, 'x');
    return { x: { shape: x.shape, data: Float64Array.from(x.data, (v) => (v + integer(attributes, 'by')) | 0) } };
  },
  exact: ['x'],
};
