import type { OpCases } from '../kit/cases.js';
import { bytes, counts, normals } from '../kit/cases.js';

/** `emit` has no output: what arrives at the host is checked in test/ops/emit.test.ts. */
export const cases: OpCases = {
  op: 'emit',
  cases: [
    {
      name: 'f32',
      tags: ['small'],
      dims: { N: 5 },
      build: (rng) => ({ operands: { payload: normals(rng, 'f32', [5]) }, attributes: { channel: 3 } }),
    },
    {
      name: 'u8, not now',
      tags: ['edge'],
      dims: { N: 6 },
      build: () => ({ operands: { payload: bytes([2, 3], () => 7), when: counts([0]) }, attributes: { channel: 0 } }),
    },
    {
      name: 'nothing',
      tags: ['edge'],
      dims: { N: 0 },
      build: () => ({ operands: { payload: counts([]), when: counts([1]) }, attributes: { channel: 0 } }),
    },
  ],
  oracle: () => ({}),
};
