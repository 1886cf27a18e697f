import type { OpCases, OpInputs, Rng } from '../kit/cases.js';
import { counts, normals, operand, values } from '../kit/cases.js';

interface Options {
  renorm?: 'global' | 'channel' | 'text_channel';
  text?: boolean;
  image?: boolean;
  previous?: boolean;
  noise?: boolean;
  denoise?: boolean;
  textScale?: number;
  imageScale?: number;
  renormMin?: number;
  step?: number;
  images?: number[];
  scale?: number;
}

function one(
  name: string,
  tag: 'small' | 'edge' | 'perf',
  [n, c]: [number, number],
  o: Options = {},
): OpCases['cases'][number] {
  const build = (rng: Rng): OpInputs => {
    const velocity = () => normals(rng, 'f32', [n, c], { scale: o.scale ?? 1 });
    const row = [0.5, 0.9, -0.25, 0.125, 0.3, o.textScale ?? 4, o.imageScale ?? 1, o.renormMin ?? 0];
    const other = [0.9, 7, 7, 7, 7, 7, 7, 7];
    const steps = [other, row, other];
    return {
      operands: {
        x: normals(rng, 'f32', [n, c]),
        v: velocity(),
        ...(o.text === false ? {} : { v_text: velocity() }),
        ...(o.image ? { v_image: velocity() } : {}),
        ...(o.previous ? { previous: velocity() } : {}),
        ...(o.noise ? { noise: normals(rng, 'f32', [n, c]) } : {}),
        // a step out of range is clamped to the first or the last row
        schedule: values('f32', [3, 8], (o.step === undefined ? steps : [row, other, row]).flat()),
        step: counts([o.step ?? 1]),
        ...(o.images ? { images: counts(o.images) } : {}),
      },
      attributes: { renorm: o.renorm ?? 'global', ...(o.denoise ? { denoise: 1 } : {}) },
    };
  };
  return { name, tags: [tag], dims: { N: n, C: c }, build };
}

const norm = (list: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < list.length; i++) sum += (list[i] as number) ** 2;
  return Math.sqrt(sum);
};

export const cases: OpCases = {
  op: 'guided_update',
  cases: [
    one('global', 'small', [16, 16]),
    one('channel', 'small', [16, 16], { renorm: 'channel' }),
    one('text_channel', 'small', [16, 16], { renorm: 'text_channel' }),
    one('global with an image', 'small', [16, 16], { image: true, imageScale: 2 }),
    one('channel with an image', 'small', [16, 16], { renorm: 'channel', image: true, imageScale: 2 }),
    one('text_channel with an image', 'small', [16, 16], { renorm: 'text_channel', image: true, imageScale: 2 }),
    one('not guided', 'small', [10, 16], { text: false }),
    one('every solver operand', 'small', [9, 64], { previous: true, noise: true, image: true, imageScale: 1.5 }),
    one('previous alone, not guided', 'small', [9, 64], { previous: true, text: false }),
    one('clean latents too', 'small', [16, 16], { denoise: true, previous: true, noise: true }),
    one('clean latents, text_channel', 'small', [7, 20], { denoise: true, renorm: 'text_channel' }),
    one('clean latents, not guided', 'small', [7, 20], { denoise: true, text: false }),
    one('three images', 'small', [30, 16], { images: [0, 7, 21, 30] }),
    one('three images, text_channel', 'small', [30, 16], { images: [0, 7, 21, 30], renorm: 'text_channel' }),
    one('one empty image', 'edge', [12, 8], { images: [0, 5, 5, 12] }),
    one('images out of range and order', 'edge', [12, 8], { images: [2, 9, 4, 40] }),
    one('text scale of 1: no guidance', 'edge', [8, 16], { textScale: 1, image: true, imageScale: 3 }),
    one('text scale below 1', 'edge', [8, 16], { textScale: 0.5 }),
    one('image scale of 1', 'edge', [8, 16], { image: true, imageScale: 1 }),
    one('image scale without an image', 'edge', [8, 16], { imageScale: 2 }),
    one('renorm off', 'edge', [8, 16], { renormMin: 1 }),
    one('renorm minimum at work', 'edge', [8, 16], { renormMin: 0.6, textScale: 12 }),
    one('renorm minimum at work, channel', 'edge', [8, 16], { renormMin: 0.4, textScale: 6, renorm: 'channel' }),
    one('zero velocities', 'edge', [4, 16], { scale: 0 }),
    one('zero velocities, channel', 'edge', [4, 16], { scale: 0, renorm: 'channel' }),
    one('step below the schedule', 'edge', [4, 16], { step: -5 }),
    one('step beyond the schedule', 'edge', [4, 16], { step: 3 }),
    one('one token, odd width', 'edge', [1, 37], { image: true, imageScale: 2, noise: true }),
    one('one channel', 'edge', [5, 1], { renorm: 'channel' }),
    one('no tokens', 'edge', [0, 16]),
    one('1024 px of the 7B model', 'perf', [4096, 64], { image: true, imageScale: 2 }),
  ],
  oracle({ operands, attributes }) {
    const x = operand(operands, 'x');
    const [n = 0, c = 0] = x.shape;
    const v = operand(operands, 'v').data;
    const step = Math.min(2, Math.max(0, Number(operand(operands, 'step').data[0])));
    const plan = operand(operands, 'schedule').data.subarray(step * 8, step * 8 + 8);
    const [time = 0, p = 0, q = 0, w = 0, r = 0, st = 0, si = 0, low = 0] = plan;
    const at = (name: string, i: number) => (operands[name]?.data[i] as number | undefined) ?? 0;
    const guided = operands.v_text !== undefined && st > 1;
    const withImage = operands.v_image !== undefined && si > 1;
    const factor = (a: ArrayLike<number>, b: ArrayLike<number>) =>
      Math.min(1, Math.max(low, norm(a) / (norm(b) + 1e-8)));
    const u = Float64Array.from(v);
    if (guided) {
      for (let i = 0; i < u.length; i++) u[i] = at('v_text', i) + st * ((v[i] as number) - at('v_text', i));
      const addImage = () => {
        if (!withImage) return;
        for (let i = 0; i < u.length; i++) u[i] = at('v_image', i) + si * ((u[i] as number) - at('v_image', i));
      };
      const renorm = (from: number, to: number) => {
        const k = factor(v.subarray(from * c, to * c), u.subarray(from * c, to * c));
        for (let i = from * c; i < to * c; i++) u[i] = (u[i] as number) * k;
      };
      if (attributes.renorm !== 'text_channel') addImage();
      if (attributes.renorm === 'global') {
        const starts = operands.images ? Array.from(operands.images.data) : [0, n];
        starts[0] = 0;
        for (let j = 1; j < starts.length; j++)
          starts[j] = Math.min(n, Math.max(starts[j - 1] as number, starts[j] as number));
        starts[starts.length - 1] = n;
        for (let j = 0; j + 1 < starts.length; j++) renorm(starts[j] as number, starts[j + 1] as number);
      } else {
        for (let row = 0; row < n; row++) renorm(row, row + 1);
      }
      if (attributes.renorm === 'text_channel') addImage();
    }
    const moved = Float64Array.from(
      u,
      (g, i) => p * (x.data[i] as number) + q * g + w * at('previous', i) + r * at('noise', i),
    );
    const shape = [n, c];
    return {
      x: { shape, data: moved },
      velocity: { shape, data: u },
      ...(operands.previous ? { previous: { shape, data: u } } : {}),
      ...(attributes.denoise === 1
        ? { denoised: { shape, data: u.map((g, i) => (x.data[i] as number) - time * g) } }
        : {}),
    };
  },
  tolerance: { f32: 2e-6, bf16: 0 },
};
