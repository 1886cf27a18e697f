import type { OpCases, OpInputs, Rng } from '../kit/cases.js';
import { integer, normals, operand } from '../kit/cases.js';

type Float = 'f32' | 'bf16';
interface Shape {
  h: number;
  w: number;
  c: number;
  m: number;
  kernel: number;
  stride?: number;
  begin?: number;
  end?: number;
  x?: Float;
  weight?: Float;
  bias?: Float;
  residual?: boolean;
}

function side(size: number, s: Shape): number {
  return Math.floor((size + (s.begin ?? 0) + (s.end ?? 0) - s.kernel) / (s.stride ?? 1)) + 1;
}

function build(s: Shape) {
  return (rng: Rng): OpInputs => {
    const k = s.kernel * s.kernel * s.c;
    const x = s.x ?? 'f32';
    return {
      operands: {
        x: normals(rng, x, [s.h, s.w, s.c]),
        weight: normals(rng, s.weight ?? 'f32', [s.m, k], { scale: 1 / Math.sqrt(Math.max(1, k)) }),
        bias: normals(rng, s.bias ?? 'f32', [s.m]),
        ...(s.residual ? { residual: normals(rng, x, [side(s.h, s), side(s.w, s), s.m]) } : {}),
      },
      attributes: { kernel: s.kernel, stride: s.stride ?? 1, pad_begin: s.begin ?? 0, pad_end: s.end ?? 0 },
    };
  };
}

function one(name: string, tag: 'small' | 'edge' | 'perf', s: Shape): OpCases['cases'][number] {
  return { name, tags: [tag], dims: { H: s.h, W: s.w, C: s.c, M: s.m }, build: build(s) };
}

const same = { kernel: 3, begin: 1, end: 1 };

export const cases: OpCases = {
  op: 'conv2d',
  cases: [
    one('3 x 3, residual', 'small', { h: 12, w: 9, c: 32, m: 64, residual: true, ...same }),
    one('3 x 3, wider than a group of columns', 'small', { h: 6, w: 20, c: 24, m: 70, ...same }),
    one('stride 2, zeros below and right', 'small', { h: 10, w: 13, c: 16, m: 20, kernel: 3, stride: 2, end: 1 }),
    one('first layer', 'small', { h: 9, w: 7, c: 3, m: 64, ...same }),
    one('last layer', 'small', { h: 7, w: 8, c: 64, m: 3, ...same }),
    one('1 x 1', 'small', { h: 5, w: 6, c: 40, m: 33, kernel: 1, residual: true }),
    one('bf16, whole tiles', 'small', {
      h: 8,
      w: 19,
      c: 32,
      m: 48,
      x: 'bf16',
      weight: 'bf16',
      residual: true,
      ...same,
    }),
    one('bf16, part of a tile', 'small', {
      h: 5,
      w: 6,
      c: 19,
      m: 21,
      x: 'bf16',
      weight: 'bf16',
      bias: 'bf16',
      ...same,
    }),
    one('f32 image, bf16 weight', 'small', { h: 5, w: 6, c: 20, m: 21, weight: 'bf16', ...same }),
    one('f32 image, bf16 weight, odd columns', 'edge', { h: 4, w: 6, c: 17, m: 10, weight: 'bf16', ...same }),
    one('bf16 image, f32 weight', 'edge', { h: 4, w: 6, c: 17, m: 10, x: 'bf16', ...same }),
    one('bf16 1 x 1', 'edge', { h: 4, w: 6, c: 17, m: 10, kernel: 1, x: 'bf16', weight: 'bf16' }),
    one('1 x 1 with stride', 'edge', { h: 5, w: 7, c: 64, m: 10, kernel: 1, stride: 3 }),
    one('one pixel', 'edge', { h: 1, w: 1, c: 17, m: 1, ...same }),
    one('kernel as large as the image', 'edge', { h: 5, w: 5, c: 12, m: 4, kernel: 5 }),
    one('more padding than image', 'edge', { h: 2, w: 1, c: 16, m: 5, kernel: 3, begin: 4, end: 5 }),
    one('stride beyond the kernel', 'edge', { h: 11, w: 12, c: 24, m: 9, kernel: 2, stride: 5, begin: 1 }),
    one('empty image, padding only', 'edge', { h: 0, w: 0, c: 16, m: 5, kernel: 3, begin: 2, end: 2 }),
    one('no input channels', 'edge', { h: 3, w: 3, c: 0, m: 5, ...same }),
    one('wide image', 'edge', { h: 2, w: 401, c: 16, m: 8, ...same }),
    one('VAE middle of the 7B model, 8 x 8', 'perf', { h: 8, w: 8, c: 512, m: 512, residual: true, ...same }),
  ],
  oracle({ operands, attributes }) {
    const image = operand(operands, 'x');
    const weight = operand(operands, 'weight');
    const bias = operand(operands, 'bias').data;
    const residual = operands.residual?.data;
    const [h = 0, w = 0, c = 0] = image.shape;
    const [m = 0, k = 0] = weight.shape;
    const kernel = integer(attributes, 'kernel');
    const stride = integer(attributes, 'stride');
    const begin = integer(attributes, 'pad_begin');
    const end = integer(attributes, 'pad_end');
    const rows = Math.floor((h + begin + end - kernel) / stride) + 1;
    const columns = Math.floor((w + begin + end - kernel) / stride) + 1;
    const pixels = image.data as Float64Array;
    const filters = weight.data as Float64Array;
    const out = new Float64Array(rows * columns * m);
    for (let y = 0; y < rows; y++)
      for (let x = 0; x < columns; x++)
        for (let o = 0; o < m; o++) {
          const to = (y * columns + x) * m + o;
          let sum = (bias[o] as number) + (residual ? (residual[to] as number) : 0);
          for (let i = 0; i < kernel; i++)
            for (let j = 0; j < kernel; j++) {
              const iy = y * stride + i - begin;
              const ix = x * stride + j - begin;
              if (iy < 0 || iy >= h || ix < 0 || ix >= w) continue;
              const p = (iy * w + ix) * c;
              const f = o * k + (i * kernel + j) * c;
              for (let q = 0; q < c; q++) sum += (pixels[p + q] as number) * (filters[f + q] as number);
            }
          out[to] = sum;
        }
    return { out: { shape: [rows, columns, m], data: out } };
  },
  tolerance: { f32: 1e-5, bf16: 8e-3 },
};
