import { describe, expect, test } from 'vitest';
import { readHeader } from '../../lib/io/safetensors.js';
import { readConfig } from '../../lib/models/bagel/config.js';
import { modelCosts } from '../../lib/models/bagel/costs.js';

const relative = (got: number | undefined, wanted: number) => Math.abs((got ?? Number.NaN) / wanted - 1);

describe('BAGEL-7B-MoT', async () => {
  const costs = modelCosts(await readConfig('test/configs/bagel-7b-mot'), 'bf16');
  const step = (name: RegExp) => costs.steps.find((s) => name.test(s.name));

  test('has the parameters of the public checkpoint', () => {
    // counts from instantiating the public classes
    const { parameters } = costs;
    expect(parameters.total - parameters.autoencoder).toBe(14_607_260_128);
    expect(parameters.autoencoder).toBe(83_819_683);
    expect(parameters.understanding + parameters.vocabulary).toBe(7_615_623_680);
    expect(parameters.generation).toBe(6_525_628_928);
    expect(parameters.vision).toBe(402_552_736);
    expect(costs.weightBytes).toBe(29_214_520_256 + 335_278_732);
    expect(costs.cacheBytesPerToken).toBe(57_344);
  });

  // Worked out by hand from the shapes, independently of this code, to the digits given.
  test.each([
    [/^decode, 1 row, context 512/, 14.35e9, 14.17e9],
    [/^denoise 1024x1024, no guidance/, 60.33e12, 26.1e9],
    [/^denoise 1024x1024, guided by text/, 120.5e12, 26.1e9],
    [/^denoise 1024x1024, edit/, 210.4e12, 27.1e9],
    [/^vision encoder, 4900 patches/, 6.93e12, 0.805e9],
    [/^autoencoder encode 1024x1024/, 4.88e12, undefined],
    [/^autoencoder decode 1024x1024/, 10.47e12, undefined],
  ])('%s', (name, flops, bytes) => {
    expect(relative(step(name)?.flops, flops)).toBeLessThan(0.005);
    if (bytes !== undefined) expect(relative(step(name)?.bytes, bytes)).toBeLessThan(0.005);
  });

  test('sixteen rows cost sixteen times the arithmetic and hardly more traffic', () => {
    const one = step(/^decode, 1 row/);
    const many = step(/^decode, 16 rows/);
    expect((many?.flops ?? 0) / (one?.flops ?? 1)).toBeCloseTo(16, 6);
    expect((many?.bytes ?? 0) / (one?.bytes ?? 1)).toBeLessThan(1.001);
  });
});

test('the bundled model has as many parameters as its files hold', async () => {
  const { parameters } = modelCosts(await readConfig('models/tiny'));
  const elements = async (file: string) => {
    const { tensors } = await readHeader(`models/tiny/${file}.safetensors`);
    return [...tensors.values()].reduce((sum, { shape }) => sum + shape.reduce((product, dim) => product * dim, 1), 0);
  };
  expect(parameters.autoencoder).toBe(await elements('ae'));
  expect(parameters.total - parameters.autoencoder).toBe(await elements('ema'));
});
