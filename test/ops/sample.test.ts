import { afterAll, expect, test } from 'vitest';
import { Context, instructionSets, ops } from '../../lib/index.js';
import { chiSquare, critical } from '../kit/chi-square.js';
import { exponential, philox } from '../kit/philox.js';

const cx = await Context.create({ device: 'cpu', threads: 2 });
afterAll(() => cx.dispose());

interface Settings {
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
}

/** Samples every row of `logits` with the same settings; seeds and positions per row. */
async function sample(
  on: Context,
  logits: Float32Array,
  v: number,
  settings: Settings,
  seeds: (row: number) => [number, number],
  position: (row: number) => number,
  rows?: number,
): Promise<Int32Array> {
  const n = logits.length / v;
  const column = (value: number) => on.tensor('f32', [n], new Float32Array(n).fill(value));
  const all = Array.from({ length: n }, (_, i) => i);
  const token = on.scope(() =>
    ops.sample(on, {
      logits: on.tensor('f32', [n, v], logits),
      seq: on.tensor('i32', [n], all),
      temperature: column(settings.temperature ?? 1),
      topK: on.tensor('i32', [n], new Int32Array(n).fill(settings.topK ?? 0)),
      topP: column(settings.topP ?? 1),
      minP: column(settings.minP ?? 0),
      seed: on.tensor('i32', [n, 2], all.flatMap(seeds)),
      position: on.tensor('i32', [n], all.map(position)),
      rows: rows === undefined ? undefined : on.tensor('i32', [1], [rows]),
    }),
  );
  return token.data();
}

function repeated(row: number[], n: number): Float32Array {
  const logits = new Float32Array(row.length * n);
  for (let i = 0; i < n; i++) logits.set(row, i * row.length);
  return logits;
}

/** What the settings should give, by their definition. */
function distribution(logits: number[], settings: Settings): number[] {
  const ids = logits.map((_, id) => id).sort((a, b) => (logits[b] as number) - (logits[a] as number) || a - b);
  const weight = logits.map((l) => Math.exp(l / (settings.temperature ?? 1)));
  const total = (list: number[]) => list.reduce((sum, id) => sum + (weight[id] as number), 0);
  let kept = settings.topK ? ids.slice(0, settings.topK) : ids;
  const mass = total(kept);
  kept = kept.filter((_, i) => i === 0 || total(kept.slice(0, i)) < (settings.topP ?? 1) * mass || !settings.topP);
  kept = kept.filter((id) => (weight[id] as number) >= (settings.minP ?? 0) * Math.max(...weight));
  return logits.map((_, id) => (kept.includes(id) ? (weight[id] as number) / total(kept) : 0));
}

const LOGITS = [1.2, -0.3, 0.4, 2.1, 0.4, -1.7, 1.9, 0, 0.8, -0.9, 1.5, 0.1];
const COUNT = 24_000;

const SETTINGS: [string, Settings][] = [
  ['temperature 0.6', { temperature: 0.6 }],
  ['temperature 1', {}],
  ['temperature 1.8', { temperature: 1.8 }],
  ['top_k 5', { topK: 5 }],
  ['top_p 0.8', { topP: 0.8 }],
  ['min_p 0.2', { minP: 0.2 }],
  ['all filters', { temperature: 1.3, topK: 9, topP: 0.9, minP: 0.25 }],
];

test.each(SETTINGS)('frequencies over the positions of one seed: %s', async (_, settings) => {
  const tokens = await sample(
    cx,
    repeated(LOGITS, COUNT),
    LOGITS.length,
    settings,
    () => [77, 3],
    (row) => row,
  );
  const counts = LOGITS.map(() => 0);
  for (const token of tokens) counts[token] = (counts[token] as number) + 1;
  const { value, freedom } = chiSquare(counts, distribution(LOGITS, settings));
  expect(value).toBeLessThan(critical(freedom));
});

test('frequencies over seeds at one position', async () => {
  const tokens = await sample(
    cx,
    repeated(LOGITS, COUNT),
    LOGITS.length,
    {},
    (row) => [row, -row],
    () => 5,
  );
  const counts = LOGITS.map(() => 0);
  for (const token of tokens) counts[token] = (counts[token] as number) + 1;
  const { value, freedom } = chiSquare(counts, distribution(LOGITS, {}));
  expect(value).toBeLessThan(critical(freedom));
});

test('neighbouring positions are independent', async () => {
  const row = [0.3, -0.2, 0.9, 0];
  const tokens = await sample(
    cx,
    repeated(row, COUNT),
    4,
    {},
    () => [5, 5],
    (i) => i,
  );
  const p = distribution(row, {});
  const counts = new Array<number>(16).fill(0);
  for (let i = 0; i + 1 < COUNT; i += 2) {
    const cell = 4 * (tokens[i] as number) + (tokens[i + 1] as number);
    counts[cell] = (counts[cell] as number) + 1;
  }
  const { value, freedom } = chiSquare(
    counts,
    counts.map((_, cell) => (p[cell >> 2] as number) * (p[cell & 3] as number)),
  );
  expect(value).toBeLessThan(critical(freedom));
});

test('a large vocabulary: the frequencies of its head, with the mass of 20000 tail tokens', async () => {
  const v = 20_000;
  const row = new Float32Array(v).fill(-6);
  row.set([2, 1, 0], 7000);
  const n = 1500;
  const logits = new Float32Array(v * n);
  for (let i = 0; i < n; i++) logits.set(row, i * v);
  const tokens = await sample(
    cx,
    logits,
    v,
    {},
    () => [1, 9],
    (i) => i,
  );
  const counts = [0, 0, 0, 0];
  for (const token of tokens) {
    const cell = token >= 7000 && token < 7003 ? token - 7000 : 3;
    counts[cell] = (counts[cell] as number) + 1;
  }
  const weights = [Math.exp(2), Math.E, 1, (v - 3) * Math.exp(-6)];
  const sum = weights.reduce((a, b) => a + b, 0);
  const { value, freedom } = chiSquare(
    counts,
    weights.map((w) => w / sum),
  );
  expect(value).toBeLessThan(critical(freedom));
});

// Positions of seed (1, 2) where a word of the first counter is within 8 of an end of its range, found by search.
const EXTREMES = [
  { position: 188332790, id: 1, word: 0xfffffffa },
  { position: 443150602, id: 3, word: 0xffffffff },
  { position: 472417211, id: 1, word: 0xffffffff },
  { position: 495720596, id: 1, word: 3 },
  { position: 636730093, id: 3, word: 3 },
  { position: 674595907, id: 0, word: 2 },
];

test.each(EXTREMES)(
  'noise at the ends of its range keeps its precision: word $word',
  async ({ position, id, word }) => {
    const words = philox([1, 2], [0, position, 0, 0]);
    expect(words[id]).toBe(word);
    const g = words.map((w) => -Math.log(exponential(w)));
    const other = (id + 2) % 4;
    // the logit of `id` at which it ties with `other`
    const tie = (g[other] as number) - (g[id] as number);
    expect(Math.abs(g[id] as number)).toBeGreaterThan(3);
    const step = 2e-6 * Math.max(8, Math.abs(tie));
    for (const [shift, winner] of [
      [-step, other],
      [step, id],
    ] as const) {
      const logits = new Float32Array(4).fill(-Infinity);
      logits[other] = 0;
      logits[id] = tie + shift;
      expect(
        await sample(
          cx,
          logits,
          4,
          {},
          () => [1, 2],
          () => position,
        ),
      ).toEqual(Int32Array.of(winner));
    }
  },
);

/** Rows of different character: peaked, ordinary, flat, tied. */
function mixture(n: number, v: number): Float32Array {
  const logits = new Float32Array(n * v);
  for (let i = 0; i < logits.length; i++) {
    const scale = [6, 2, 0.2, 0][Math.floor(i / v) % 4] as number;
    const word = philox([4, 4], [i, 0, 0, 99])[0];
    logits[i] = scale * Math.sqrt(12) * (word / 2 ** 32 - 0.5);
  }
  return logits;
}

const MIXED: Settings[] = [{}, { topK: 40, topP: 0.9, temperature: 0.8 }, { topP: 0.35 }, { topK: 1500, minP: 0.01 }];

test('a row gives the same token alone, among others, with dead rows below, and on any number of threads', async () => {
  const [n, v] = [12, 9001];
  const logits = mixture(n, v);
  const single = await Context.create({ device: 'cpu', threads: 1 });
  for (const settings of MIXED) {
    const seeds = (row: number): [number, number] => [row * 31, 8];
    const together = await sample(cx, logits, v, settings, seeds, (row) => row * row);
    expect(await sample(single, logits, v, settings, seeds, (row) => row * row)).toEqual(together);
    const padded = await sample(cx, logits, v, settings, seeds, (row) => row * row, 5);
    expect(padded.subarray(0, 5)).toEqual(together.subarray(0, 5));
    for (let row = 0; row < n; row++) {
      const alone = logits.slice(row * v, (row + 1) * v);
      const token = await sample(
        single,
        alone,
        v,
        settings,
        () => seeds(row),
        () => row * row,
      );
      expect(token[0], `row ${row} ${JSON.stringify(settings)}`).toBe(together[row]);
    }
  }
  await single.dispose();
});

test('every instruction set picks the same tokens from the same logits', async () => {
  const [n, v] = [16, 5003];
  const logits = mixture(n, v);
  for (const settings of MIXED) {
    const expected = await sample(
      cx,
      logits,
      v,
      settings,
      (row) => [row, 1],
      () => 3,
    );
    for (const { name, available, model } of instructionSets()) {
      if (!available || model) continue;
      const other = await Context.create({ device: 'cpu', isa: name, threads: 1 });
      expect(
        await sample(
          other,
          logits,
          v,
          settings,
          (row) => [row, 1],
          () => 3,
        ),
        name,
      ).toEqual(expected);
      await other.dispose();
    }
  }
});

test('a row that has no best token raises the flag, and only then', async () => {
  const run = async (row: number[], temperature: number) => {
    const token = await sample(
      cx,
      Float32Array.from(row),
      row.length,
      { temperature },
      () => [0, 0],
      () => 0,
    );
    return [token[0], (await cx.sync()).notANumber];
  };
  await cx.sync();
  for (const temperature of [0, 1]) {
    expect(await run([0, NaN, 3, 3], temperature)).toEqual([2, true]);
    expect(await run([0, Infinity, 3, Infinity], temperature)).toEqual([1, true]);
    expect(await run([-Infinity, -Infinity], temperature)).toEqual([0, true]);
    expect(await run([NaN, NaN], temperature)).toEqual([0, true]);
    expect(await run([-Infinity, 5, -Infinity], temperature)).toEqual([1, false]);
  }
});

test('a NaN in a dead row raises nothing', async () => {
  await cx.sync();
  const logits = Float32Array.of(1, 2, NaN, 4);
  const token = await sample(
    cx,
    logits,
    2,
    { temperature: 0 },
    () => [0, 0],
    () => 0,
    1,
  );
  expect(token[0]).toBe(1);
  expect(await cx.sync()).toEqual({ indexClamped: false, notANumber: false });
});
