// The denoising engine: solvers on the device against the float64 reference, batches, fused against op by op, previews, limits.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { shiftedGrid } from '../../lib/denoise/grid.js';
import type { Guidance } from '../../lib/denoise/guidance.js';
import { planSteps } from '../../lib/denoise/schedule.js';
import { type Solver, stagesOf } from '../../lib/denoise/solver.js';
import * as ops from '../../lib/generated/ops.js';
import { decodeImage } from '../../lib/io/image.js';
import { Bagel, type DrawItem } from '../../lib/models/bagel/bagel.js';
import type { Branches } from '../../lib/models/bagel/branch-state.js';
import { ContextBuilder, releaseBranches } from '../../lib/models/bagel/contexts.js';
import type { DrawingOf } from '../../lib/models/bagel/draw-many.js';
import type { Drawing, DrawOptions, DrawStep } from '../../lib/models/bagel/draw-options.js';
import { failure } from '../kit/failure.js';
import { trajectory, unitStep } from './denoise.js';
import { relativeL2 } from './golden.js';

const SCENE = 'examples/scene.png';
const GRID = { rows: 8, columns: 8 };
const PROMPT = 'a large red circle in the center on a white background';

let bagel: Bagel;
let free: number;
beforeAll(async () => {
  bagel = await Bagel.load();
  free = bagel.model.pool.free;
});
afterAll(() => bagel.dispose());

const guidance = (options: Partial<Guidance> = {}): Guidance => ({
  text: 4,
  image: 1,
  interval: [0.4, 1],
  renorm: 'global',
  renormMin: 0,
  ...options,
});

async function contexts(prompt = PROMPT): Promise<Branches> {
  const builder = new ContextBuilder(bagel.model, [], false);
  return (await builder.build(prompt, { needs: { noText: true, noImage: true } })).branches;
}

/** The engine's normal draws. */
async function noise(seed: number, purpose: number, position: number): Promise<Float32Array> {
  const { cx } = bagel.model;
  const draws = cx.scope(() =>
    ops.philoxNormal(cx, {
      seed: cx.tensor('i32', [1, 2], [seed, 0]),
      position: cx.tensor('i32', [1], [position]),
      rowsCount: 64,
      columns: 16,
      purpose,
    }),
  );
  const values = await draws.floats();
  draws.dispose();
  return values;
}

async function all(items: DrawItem[], options = {}): Promise<DrawingOf[]> {
  const drawings: DrawingOf[] = [];
  for await (const drawing of bagel.drawMany(items, options)) drawings.push(drawing);
  return drawings.sort((a, b) => a.index - b.index);
}

const alone = ({ prompt, image, ...options }: DrawItem): Promise<Drawing> =>
  image === undefined ? bagel.draw(prompt, options) : bagel.edit(image, prompt, options);

describe('solvers on the device', () => {
  const solvers: [string, Solver][] = [
    ['euler', { kind: 'euler' }],
    ['heun', { kind: 'heun' }],
    ['multistep', { kind: 'multistep' }],
    ['tcd 0.4', { kind: 'tcd', gamma: 0.4 }],
    ['renoise', { kind: 'tcd', gamma: 1 }],
  ];
  test.each(solvers)('%s takes the steps of the float64 reference', async (_, solver) => {
    const branches = await contexts();
    const grid = shiftedGrid(5, 3);
    const guided = guidance({ image: 1.5 });
    const plan = planSteps(grid, guided, solver);
    const options = { seed: 77, sharedImage: true };
    const seen = await trajectory(bagel.model, GRID, branches, plan, options);
    // the reference asks the engine for velocities only
    const velocity = async (x: Float64Array, row: number) => {
      const { time, text, image } = plan[row] as (typeof plan)[number];
      const from = Float32Array.from(x);
      const [to] = await trajectory(bagel.model, GRID, branches, [unitStep(time, text, image)], {
        ...options,
        noise: from,
      });
      return from.map((value, i) => value - (to?.[i] as number));
    };
    const stages = stagesOf(solver, grid, (step) => plan[step]?.text !== plan[step - 1]?.text);
    expect(seen).toHaveLength(stages.length);
    let x = Float64Array.from(await noise(77, 4, 0));
    let before = new Float32Array(x.length);
    for (const [row, { p, q, w, r }] of stages.entries()) {
      const v = await velocity(x, row);
      const z = await noise(77, 5, row);
      x = x.map((value, i) => p * value + q * (v[i] as number) + w * (before[i] as number) + r * (z[i] as number));
      before = v;
      expect(relativeL2(seen[row] as Float32Array, x), `row ${row}`).toBeLessThan(3e-5);
    }
    releaseBranches(branches);
  });

  test('gamma 0 is Euler bit for bit; other gammas are not, and depend on the seed alone', async () => {
    const draw = (options: DrawOptions) => bagel.draw(PROMPT, { steps: 6, seed: 5, ...options });
    const euler = await draw({});
    expect((await draw({ solver: 'tcd', gamma: 0 })).latents).toEqual(euler.latents);
    expect((await draw({ solver: 'euler', gamma: 0 })).latents).toEqual(euler.latents);
    const renoised = await draw({ solver: 'lcm' });
    expect(renoised.latents).not.toEqual(euler.latents);
    expect((await draw({ solver: 'tcd', gamma: 1 })).latents).toEqual(renoised.latents);
    expect((await draw({ solver: 'renoise' })).latents).toEqual(renoised.latents);
    expect((await draw({ solver: 'renoise', seed: 6 })).latents).not.toEqual(renoised.latents);
  });

  test('a grid is what steps and shift say; evaluations are counted', async () => {
    const draw = (options: DrawOptions) => bagel.draw(PROMPT, { seed: 5, ...options });
    const six = await draw({ steps: 6 });
    const explicit = await draw({ grid: shiftedGrid(6, 3) });
    expect(explicit.latents).toEqual(six.latents);
    expect([explicit.steps, explicit.nfe]).toEqual([6, 5 * 2 + 1]);
    expect(await draw({ solver: 'heun', steps: 3 })).toMatchObject({ steps: 3, nfe: 5 * 2 });
    expect(await draw({ solver: 'multistep', steps: 6 })).toMatchObject({ steps: 6, nfe: 11 });
    const one = await draw({ solver: 'one-step' });
    expect(one).toMatchObject({ steps: 1, nfe: 2 });
    expect((await draw({ grid: [1, 0] })).latents).toEqual(one.latents);
  });
});

describe('one program', () => {
  test.each(['f32', 'bf16'] as const)(
    '%s: recorded equals op by op, and branches together equal branches apart',
    async (dtype) => {
      const other = dtype === 'f32' ? bagel : await Bagel.load(undefined, { dtype });
      const image = await decodeImage(SCENE);
      const builder = new ContextBuilder(other.model, [image], false);
      const { branches } = await builder.build('make the circle green', { needs: { noText: true, noImage: true } });
      for (const solver of [{ kind: 'multistep' }, { kind: 'tcd', gamma: 0.5 }] as const) {
        const plan = planSteps(shiftedGrid(4, 3), guidance({ image: 2, renorm: 'text_channel' }), solver);
        const run = (options: object) =>
          trajectory(other.model, GRID, branches, plan, { seed: 3, renorm: 'text_channel', ...options });
        const fused = await run({});
        expect(fused).toHaveLength(4);
        expect(await run({ recorded: false })).toEqual(fused);
        expect(await run({ separate: true })).toEqual(fused);
        expect(await run({ separate: true, recorded: false })).toEqual(fused);
      }
      releaseBranches(branches);
      if (other !== bagel) await other.dispose();
    },
  );

  test('the option of the face does the same', async () => {
    const edit = (options: DrawOptions) => bagel.edit(SCENE, 'make it blue', { steps: 3, seed: 2, ...options });
    const [together, apart] = [await edit({}), await edit({ separateBranches: true })];
    expect(apart.latents).toEqual(together.latents);
    expect(apart.nfe).toBe(together.nfe);
  });
});

describe('many', () => {
  const items: DrawItem[] = [
    { prompt: PROMPT, steps: 4, seed: 1 },
    { prompt: 'a small blue square', steps: 4, seed: 2, size: { width: 96, height: 40 } },
    { prompt: 'make the circle green', image: SCENE, steps: 3, seed: 3 },
    { prompt: 'a green ring', steps: 4, seed: 1, size: { width: 8, height: 8 } },
    { prompt: 'a yellow star', steps: 4, seed: 9, solver: 'lcm' },
    { prompt: 'remove the circle', image: SCENE, steps: 3, seed: 4 },
    { prompt: 'a cross', steps: 4, seed: 4, solver: 'lcm', size: { width: 32, height: 128 } },
    { prompt: 'a red circle', steps: 2, seed: 5, guidance: 1 },
    { prompt: 'two squares', steps: 4, seed: 6 },
  ];

  test('each picture has the bits that it has alone, in batches of any size', async () => {
    const expected: Drawing[] = [];
    for (const item of items) expected.push(await alone(item));
    for (const batch of [1, 3, 16]) {
      const drawings = await all(items, { batch });
      expect(drawings.map(({ index }) => index)).toEqual(items.map((_, i) => i));
      for (const [i, drawing] of drawings.entries()) {
        const want = expected[i] as Drawing;
        expect(drawing.latents, `item ${i} of batch ${batch}`).toEqual(want.latents);
        expect(drawing.image.data).toEqual(want.image.data);
        expect([drawing.width, drawing.height, drawing.nfe, drawing.steps, drawing.seed]).toEqual([
          want.width,
          want.height,
          want.nfe,
          want.steps,
          want.seed,
        ]);
      }
    }
    expect(bagel.model.pool.free).toBe(free);
  });

  test('in bf16 too', async () => {
    const other = await Bagel.load(undefined, { dtype: 'bf16' });
    const some = items.slice(0, 2);
    for await (const { index, latents } of other.drawMany(some)) {
      const { prompt, ...options } = some[index] as DrawItem;
      expect(latents).toEqual((await other.draw(prompt, options)).latents);
    }
    await other.dispose();
  });

  test('a cache that holds a few pictures draws many of them', async () => {
    const small = await Bagel.load(undefined, { cacheTokens: 12 * 64 });
    const many = Array.from({ length: 7 }, (_, seed) => ({ prompt: PROMPT, steps: 2, seed }));
    const seen: number[] = [];
    for await (const { index, latents } of small.drawMany(many)) {
      seen.push(index);
      expect(latents).toEqual((await bagel.draw(PROMPT, { steps: 2, seed: index })).latents);
    }
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6]);
    const tiny = await Bagel.load(undefined, { cacheTokens: 64 });
    expect((await failure(async () => tiny.drawMany(many).next())).code).toBe('CONTEXT_FULL');
    expect(tiny.model.pool.free).toBe(1);
    await Promise.all([small.dispose(), tiny.dispose()]);
  });

  test('each has its own progress and initial noise', async () => {
    const given = await noise(123, 4, 0);
    const steps: [number, DrawStep][] = [];
    const watched = [0, 1].map(
      (i): DrawItem => ({
        prompt: PROMPT,
        steps: 3,
        seed: i,
        ...(i === 1 ? { noise: given } : {}),
        onStep: (step) => steps.push([i, step]),
      }),
    );
    const drawings = await all(watched);
    expect(steps.map(([i, { step }]) => [i, step])).toEqual(
      [0, 1, 2].flatMap((s) => [
        [0, s + 1],
        [1, s + 1],
      ]),
    );
    expect(drawings[1]?.latents).toEqual((await bagel.draw(PROMPT, { steps: 3, seed: 123 })).latents);
    const last = steps.filter(([i]) => i === 1).at(-1)?.[1] as DrawStep;
    expect((await last.preview()).data).toEqual(drawings[1]?.image.data);
  });

  test('a bad item is named before any work; a consumer may leave early', async () => {
    const error = await failure(async () => all([{ prompt: PROMPT }, { prompt: PROMPT, steps: 0 }]));
    expect(error).toMatchObject({ code: 'BAD_OPTION', operand: 'steps' });
    expect(error.message).toMatch(/^item 1: /);
    expect((await failure(() => all([{ prompt: PROMPT }], { batch: 0 }))).operand).toBe('batch');
    for await (const _ of bagel.drawMany(items.slice(0, 4), { batch: 2 })) break;
    expect(bagel.model.pool.free).toBe(free);
    expect(await all([])).toEqual([]);
  });

  test('a picture that cannot be read ends the call and leaves nothing behind', async () => {
    const bad = await failure(() =>
      all([
        { prompt: PROMPT, steps: 1 },
        { prompt: 'x', image: 'absent.png' },
      ]),
    );
    expect(bad.code).toBe('IO');
    expect(bagel.model.pool.free).toBe(free);
  });

  test('any signal ends it between steps', async () => {
    for (const whose of ['item', 'call']) {
      const controller = new AbortController();
      let last = 0;
      const long: DrawItem[] = [0, 1].map((seed) => ({
        prompt: PROMPT,
        steps: 500,
        seed,
        onStep: ({ step }) => {
          last = step;
          if (step === 3) controller.abort();
        },
      }));
      const work = all(
        whose === 'item' ? [{ ...(long[0] as DrawItem), signal: controller.signal }, long[1] as DrawItem] : long,
        whose === 'call' ? { signal: controller.signal } : {},
      );
      expect((await failure(() => work)).code).toBe('CANCELLED');
      expect(last).toBeLessThan(100);
      expect(bagel.model.pool.free).toBe(free);
    }
    const again = await bagel.draw(PROMPT, { steps: 2, seed: 1 });
    expect(again.latents).toEqual((await all([{ prompt: PROMPT, steps: 2, seed: 1 }]))[0]?.latents);
  });
});

describe('previews', () => {
  test('a thumbnail per step shows where the step leads; it changes nothing', async () => {
    const steps: DrawStep[] = [];
    const drawing = await bagel.draw(PROMPT, {
      steps: 12,
      seed: 3,
      previews: true,
      onStep: (step) => steps.push(step),
    });
    expect((await bagel.draw(PROMPT, { steps: 12, seed: 3 })).latents).toEqual(drawing.latents);
    expect(steps.map(({ time }) => time)).toEqual(Array.from(shiftedGrid(12, 3).slice(1)));
    // mean colours of the picture under each latent pixel
    const side = 16;
    const scale = drawing.width / side;
    const mean = (x: number, y: number, c: number) => {
      let sum = 0;
      for (let j = 0; j < scale; j++)
        for (let i = 0; i < scale; i++)
          sum += drawing.image.data[((y * scale + j) * drawing.width + x * scale + i) * 3 + c] as number;
      return sum / scale ** 2;
    };
    const correlation = (step: DrawStep) => {
      const { width, height, data } = step.thumbnail as NonNullable<DrawStep['thumbnail']>;
      expect([width, height]).toEqual([side, side]);
      const pairs = Array.from(data, (value, i) => {
        const pixel = Math.floor(i / 3);
        return [value, mean(pixel % side, Math.floor(pixel / side), i % 3)] as const;
      });
      const centre = [0, 1].map((k) => pairs.reduce((sum, pair) => sum + pair[k as 0 | 1], 0) / pairs.length);
      const moment = (a: 0 | 1, b: 0 | 1) =>
        pairs.reduce((sum, pair) => sum + (pair[a] - (centre[a] as number)) * (pair[b] - (centre[b] as number)), 0);
      return moment(0, 1) / Math.sqrt(moment(0, 0) * moment(1, 1));
    };
    const found = steps.map(correlation);
    expect(found.at(-1), `${found}`).toBeGreaterThan(0.8);
    expect(found[0]).toBeLessThan(found.at(-1) as number);
    expect((await (steps.at(-1) as DrawStep).preview()).data).toEqual(drawing.image.data);
  });

  test('without previews there are none; in Heun the predictor does not show', async () => {
    const steps: DrawStep[] = [];
    const { nfe } = await bagel.draw(PROMPT, { steps: 4, solver: 'heun', seed: 3, onStep: (step) => steps.push(step) });
    expect(steps.map(({ step }) => step)).toEqual([1, 2, 3, 4]);
    expect(steps.map((step) => step.thumbnail)).toEqual([undefined, undefined, undefined, undefined]);
    expect(steps.at(-1)?.nfe).toBe(nfe);
  });
});

test('bad grids, solvers and scales are refused, and the model goes on', async () => {
  const bad: [object, string][] = [
    [{ grid: [1, 0.5, 0.6, 0] }, 'grid'],
    [{ grid: [1, 0.5, 0.5, 0] }, 'grid'],
    [{ grid: [1, 0.5] }, 'grid'],
    [{ grid: [0.9, 0] }, 'grid'],
    [{ grid: [1, Number.NaN, 0] }, 'grid'],
    [{ grid: [1, 0.5, 0], steps: 3 }, 'steps'],
    [{ grid: [1, 0.5, 0], shift: 3 }, 'shift'],
    [{ solver: 'dpm' }, 'solver'],
    [{ solver: 'one-step', steps: 2 }, 'steps'],
    [{ solver: 'euler', gamma: 0.5 }, 'gamma'],
    [{ solver: 'tcd', gamma: Number.NaN }, 'gamma'],
    [{ guidance: Number.NaN }, 'guidance'],
    [{ imageGuidance: Number.NaN }, 'imageGuidance'],
    [{ imageGuidance: Number.POSITIVE_INFINITY }, 'imageGuidance'],
    [{ interval: [0.1] }, 'interval'],
    [{ renormMin: Number.NaN }, 'renormMin'],
    [{ size: { width: 60, height: 64 } }, 'size'],
    [{ size: { width: 64, height: 136 } }, 'size'],
  ];
  for (const [options, operand] of bad) {
    const error = await failure(() => bagel.draw(PROMPT, { ...options }));
    expect(error, JSON.stringify(options)).toMatchObject({ code: 'BAD_OPTION', operand });
  }
  expect((await bagel.draw(PROMPT, { steps: 1, seed: 1 })).nfe).toBe(2);
  expect(bagel.model.pool.free).toBe(free);
});
