import type { OpCases, OpInputs, Rng } from '../kit/cases.js';
import { integer, normals, operand, real } from '../kit/cases.js';

interface Shape {
  /** Patches down and across, channels, side of a patch. */
  down: number;
  across: number;
  c: number;
  patch: number;
  scale?: number;
  shift?: number;
  dtype?: 'f32' | 'bf16';
}

function one(name: string, tag: 'small' | 'edge' | 'perf', s: Shape): OpCases['cases'][number] {
  const shape = [s.down * s.across, s.patch * s.patch * s.c];
  const build = (rng: Rng): OpInputs => ({
    operands: { x: normals(rng, s.dtype ?? 'f32', shape) },
    attributes: { patch: s.patch, height: s.down, scale: s.scale ?? 1, shift: s.shift ?? 0 },
  });
  return { name, tags: [tag], dims: { N: shape[0] as number, K: shape[1] as number }, build };
}

export const cases: OpCases = {
  op: 'unpatchify',
  cases: [
    one('latent', 'small', { down: 3, across: 4, c: 16, patch: 2, scale: 1 / 0.3611, shift: 0.1159 }),
    one('bf16', 'small', { down: 2, across: 5, c: 16, patch: 2, scale: 1 / 0.3611, shift: 0.1159, dtype: 'bf16' }),
    one('pixels, no map', 'small', { down: 3, across: 2, c: 3, patch: 5 }),
    one('one patch', 'edge', { down: 1, across: 1, c: 1, patch: 3, scale: -2, shift: 7 }),
    one('patches of one pixel', 'edge', { down: 3, across: 5, c: 7, patch: 1 }),
    one('no patches', 'edge', { down: 2, across: 0, c: 3, patch: 2 }),
    one('latent of the 7B model, 1024 px', 'perf', {
      down: 64,
      across: 64,
      c: 16,
      patch: 2,
      scale: 1 / 0.3611,
      shift: 0.1159,
    }),
  ],
  oracle({ operands, attributes }) {
    const x = operand(operands, 'x');
    const [n = 0, k = 0] = x.shape;
    const p = integer(attributes, 'patch');
    const down = integer(attributes, 'height');
    const across = n / down;
    const c = k / (p * p);
    const w = across * p;
    const out = new Float64Array(n * k);
    for (let row = 0; row < n; row++)
      for (let i = 0; i < p; i++)
        for (let j = 0; j < p; j++)
          for (let q = 0; q < c; q++) {
            const y = Math.floor(row / across) * p + i;
            const column = (row % across) * p + j;
            out[(y * w + column) * c + q] =
              (x.data[row * k + (i * p + j) * c + q] as number) * real(attributes, 'scale') + real(attributes, 'shift');
          }
    return { out: { shape: [down * p, w, c], data: out } };
  },
  tolerance: { f32: 1e-6, bf16: 8e-3 },
};
