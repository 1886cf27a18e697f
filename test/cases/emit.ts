import type { OpCases } from '../kit/cases.js';
import { bytes, counts, normals, operand } from '../kit/cases.js';

export const cases: OpCases = {
  op: 'emit',
  cases: [
    {
      name: 'f32',
      tags: ['small'],
      dims: { N: 5 },
      build: (rng) => ({ operands: { payload: normals(rng, 'f32', [5]) }, attributes: {} }),
    },
    {
      name: 'bf16, two dims',
      tags: ['small'],
      dims: { N: 3, D: 7 },
      build: (rng) => ({ operands: { payload: normals(rng, 'bf16', [3, 7]), when: counts([1]) }, attributes: {} }),
    },
    {
      name: 'i32, any `when` but 0',
      tags: ['edge'],
      dims: { N: 2 },
      build: () => ({ operands: { payload: counts([-1, 2147483647]), when: counts([-5]) }, attributes: {} }),
    },
    {
      name: 'u8, not now',
      tags: ['edge'],
      dims: { N: 6 },
      build: () => ({ operands: { payload: bytes([2, 3], () => 7), when: counts([0]) }, attributes: {} }),
    },
    {
      name: 'nothing',
      tags: ['edge'],
      dims: { N: 0 },
      build: () => ({ operands: { payload: counts([]), when: counts([1]) }, attributes: {} }),
    },
  ],
  oracle({ operands }) {
    const payload = operand(operands, 'payload');
    if (operands.when?.data[0] === 0) return {};
    return { record: { shape: payload.shape, data: Float64Array.from(payload.data) } };
  },
  exact: ['record'],
};
