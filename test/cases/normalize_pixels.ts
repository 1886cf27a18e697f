import type { OpCases, OpInputs, Rng } from '../kit/cases.js';
import { bytes, operand } from '../kit/cases.js';

function one(name: string, tag: 'small' | 'edge' | 'perf', shape: [number, number, number]): OpCases['cases'][number] {
  const [h, w, c] = shape;
  const build = (rng: Rng): OpInputs => ({
    operands: { x: bytes(shape, () => Math.floor(rng() * 256)) },
    attributes: {},
  });
  return { name, tags: [tag], dims: { H: h, W: w, C: c }, build };
}

let next = 0;

export const cases: OpCases = {
  op: 'normalize_pixels',
  cases: [
    one('a picture', 'small', [9, 13, 3]),
    {
      name: 'every pixel value',
      tags: ['edge'],
      dims: { H: 1, W: 256, C: 1 },
      build() {
        next = 0;
        return { operands: { x: bytes([1, 256, 1], () => next++) }, attributes: {} };
      },
    },
    one('one pixel', 'edge', [1, 1, 1]),
    one('empty', 'edge', [0, 5, 3]),
    one('a picture of 1024 x 512', 'perf', [1024, 512, 3]),
  ],
  /** The steps of the reference, each rounded to f32, so that bits must match. */
  oracle({ operands }) {
    const x = operand(operands, 'x');
    const out = Float64Array.from(x.data, (v) => Math.fround(Math.fround(Math.fround(v / 255) - 0.5) / 0.5));
    return { out: { shape: x.shape, data: out } };
  },
  exact: ['out'],
};
