import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { Context, fromBf16, instructionSets, ops } from '../../lib/index.js';
import { exponential, philox } from '../kit/philox.js';

/** Published answers of Philox4x32-10 (known-answer file of the Random123 library): counter, key, words. */
const KNOWN = [
  ['00000000 00000000 00000000 00000000', '00000000 00000000', '6627e8d5 e169c58d bc57ac4c 9b00dbd8'],
  ['ffffffff ffffffff ffffffff ffffffff', 'ffffffff ffffffff', '408f276d 41c83b0e a20bc7c6 6d5451fd'],
  ['243f6a88 85a308d3 13198a2e 03707344', 'a4093822 299f31d0', 'd16cfe09 94fdcceb 5001e420 24126ea1'],
].map((line) => line.map((words) => words.split(' ').map((word) => Number.parseInt(word, 16))));

const isas = instructionSets().filter((isa) => isa.available && !isa.model);

async function draws(
  options: { isa?: string; threads?: number; seed?: [number, number]; position?: number; purpose?: number },
  count: number,
): Promise<Float32Array> {
  const cx = await Context.create({ device: 'cpu', isa: options.isa, threads: options.threads ?? 1 });
  try {
    const out = ops.philoxNormal(cx, {
      seed: cx.tensor('i32', [1, 2], options.seed ?? [0, 0]),
      position: cx.tensor('i32', [1], [options.position ?? 0]),
      rowsCount: 1,
      columns: count,
      purpose: options.purpose ?? 0,
    });
    return await out.data();
  } finally {
    await cx.dispose();
  }
}

/** Box and Muller in float64 on four words. */
function normalsOf(words: readonly number[]): number[] {
  return [0, 2].flatMap((i) => {
    const radius = Math.sqrt(2 * exponential(words[i] as number));
    const angle = 2 * Math.PI * (((words[i + 1] as number) + 0.5) / 2 ** 32);
    return [radius * Math.cos(angle), radius * Math.sin(angle)];
  });
}

test('the Philox of the oracles gives the published answers', () => {
  for (const [counter, key, words] of KNOWN) {
    expect(philox(key as [number, number], counter as [number, number, number, number])).toEqual(words);
  }
});

test('the first four draws of seed 0 are those of the published words', async () => {
  const expected = normalsOf(KNOWN[0]?.[2] ?? []);
  for (const { name } of isas) {
    const got = await draws({ isa: name }, 4);
    expected.forEach((z, i) => {
      expect(Math.abs((got[i] as number) - z), `${name} draw ${i}`).toBeLessThan(3e-7);
    });
  }
});

test('draws are numbered: a long run begins with a short one, whatever the length and the threads', async () => {
  const long = await draws({ seed: [9, 9] }, 70_001);
  expect(await draws({ seed: [9, 9], threads: 2 }, 70_001)).toEqual(long);
  for (const count of [1, 3, 17, 64, 4097])
    expect(await draws({ seed: [9, 9] }, count)).toEqual(long.subarray(0, count));
});

test('seed words, position and purpose each give other draws', async () => {
  const heads = await Promise.all(
    [
      {},
      { seed: [1, 0] as [number, number] },
      { seed: [0, 1] as [number, number] },
      { position: 1 },
      { purpose: 1 },
    ].map(async (key) => (await draws(key, 4)).join()),
  );
  expect(new Set(heads).size).toBe(heads.length);
});

test('the same bits on every instruction set, now and later', async () => {
  const digests: Record<string, string> = {};
  for (const { name } of isas) {
    const cx = await Context.create({ device: 'cpu', isa: name, threads: 1 });
    const shared = { seed: cx.tensor('i32', [1, 2], [123456789, -5]), rowsCount: 131, columns: 997, purpose: 4 };
    const plain = ops.philoxNormal(cx, shared);
    const scaled = ops.philoxNormal(cx, { ...shared, mean: -1.25, deviation: 0.02, dtype: 'bf16' });
    const hash = createHash('sha256');
    for (const data of [await plain.data(), await scaled.data()]) {
      hash.update(Buffer.from(data.buffer, data.byteOffset, data.byteLength));
    }
    digests[name] = hash.digest('hex').slice(0, 16);
    await cx.dispose();
  }
  // Another digest means that a seed gives another picture than before.
  expect(digests).toEqual(Object.fromEntries(isas.map(({ name }) => [name, '3c46a7bc9c59686b'])));
});

test('bf16 draws are the f32 draws, rounded once', async () => {
  const cx = await Context.create({ device: 'cpu', threads: 1 });
  const shared = {
    seed: cx.tensor('i32', [1, 2], [7, 0]),
    rowsCount: 3,
    columns: 100,
    purpose: 7,
    mean: 0.5,
    deviation: 0.1,
  };
  const wide = await ops.philoxNormal(cx, shared).data();
  const narrow = fromBf16(await ops.philoxNormal(cx, { ...shared, dtype: 'bf16' }).data());
  wide.forEach((z, i) => {
    expect(Math.abs((narrow[i] as number) - z)).toBeLessThanOrEqual(Math.abs(z) * 2 ** -8);
  });
  await cx.dispose();
});

test('a million draws are standard normal and independent', async () => {
  const n = 1_000_000;
  const z = await draws({ seed: [2026, 1], purpose: 4 }, n);
  const moments = [0, 0, 0, 0];
  const lags = [1, 2, 3, 4, 64];
  const products = lags.map(() => 0);
  let squares = 0;
  const beyond = [1, 2, 3, 4].map(() => 0);
  z.forEach((value, i) => {
    for (let k = 0; k < 4; k++) moments[k] = (moments[k] as number) + value ** (k + 1) / n;
    lags.forEach((lag, j) => {
      if (i >= lag) products[j] = (products[j] as number) + (value * (z[i - lag] as number)) / n;
    });
    // a wrong pairing shows in the squares of neighbours: both come from one radius
    if (i % 2 === 1) squares += ((value ** 2 - 1) * ((z[i - 1] as number) ** 2 - 1)) / (n / 2);
    for (let k = 0; k < 4; k++) if (Math.abs(value) > k + 1) beyond[k] = (beyond[k] as number) + 1;
  });
  // five standard deviations of each estimate: sqrt of 1, 2, 15, 96 over n
  const error = 5 / Math.sqrt(n);
  expect(Math.abs(moments[0] as number)).toBeLessThan(error);
  expect(Math.abs((moments[1] as number) - 1)).toBeLessThan(error * Math.SQRT2);
  expect(Math.abs(moments[2] as number)).toBeLessThan(error * Math.sqrt(15));
  expect(Math.abs((moments[3] as number) - 3)).toBeLessThan(error * Math.sqrt(96));
  for (const product of products) expect(Math.abs(product)).toBeLessThan(error);
  expect(Math.abs(squares)).toBeLessThan(error * 2 * Math.SQRT2);
  const shares = [0.317310508, 0.045500264, 0.002699796, 0.0000633425];
  shares.forEach((share, k) => {
    expect(Math.abs((beyond[k] as number) - n * share)).toBeLessThan(5 * Math.sqrt(n * share));
  });
  // Kolmogorov-Smirnov against the normal distribution function, at 1e-4
  z.sort();
  let distance = 0;
  z.forEach((value, i) => {
    if (i % 100 === 0) distance = Math.max(distance, Math.abs(i / n - normalDistribution(value)));
  });
  expect(distance).toBeLessThan(2.23 / Math.sqrt(n) + 1e-4);
});

/** Zelen and Severo's polynomial (Abramowitz and Stegun 26.2.17): absolute error below 7.5e-8. */
function normalDistribution(x: number): number {
  const t = 1 / (1 + 0.2316419 * Math.abs(x));
  const poly = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  const upper = (Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)) * poly;
  return x < 0 ? upper : 1 - upper;
}

test('more draws than counters are refused', async () => {
  const cx = await Context.create({ device: 'cpu', threads: 1 });
  const seed = cx.tensor('i32', [1, 2], [0, 0]);
  expect(() => ops.philoxNormal(cx, { seed, rowsCount: 2 ** 20, columns: 2 ** 20, purpose: 4 })).toThrow(/2\^34 draws/);
  expect(() => ops.philoxNormal(cx, { seed, rowsCount: 2 ** 52, columns: 2 ** 52, purpose: 4 })).toThrow(/2\^34 draws/);
  await cx.dispose();
});
