import { describe, expect, test } from 'vitest';
import {
  channelShift,
  colourStatistics,
  coverage,
  diversity,
  histogramDistance,
  kernelDistance,
  psnr,
  relativeDistance,
  standardizer,
} from '../../lib/eval/distances.js';
import { FEATURES, pictureFeatures } from '../../lib/eval/features.js';
import { IMAGE_BYTES, promptItems, renderScene, start } from '../../lib/eval/world/index.js';

/** Standard normal vectors, shifted. */
function cloud(seed: number, count: number, dims: number, shift = 0): Float32Array[] {
  const random = start(99, seed);
  const uniform = () => (random.u32() + 0.5) / 2 ** 32;
  const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  return Array.from({ length: count }, () => Float32Array.from({ length: dims }, () => normal() + shift));
}

describe('kernel distance', () => {
  test('equals its definition, term by term', () => {
    const a = [Float32Array.of(1, 2), Float32Array.of(0, -1), Float32Array.of(3, 1)];
    const b = [Float32Array.of(2, 2), Float32Array.of(1, 0), Float32Array.of(-1, 1)];
    const k = (x: Float32Array, y: Float32Array) => (x.reduce((sum, v, i) => sum + v * (y[i] ?? 0), 0) / 2 + 1) ** 3;
    const off = (x: Float32Array[], y: Float32Array[]) =>
      x.flatMap((xi, i) => y.flatMap((yj, j) => (i === j ? [] : [k(xi, yj)]))).reduce((sum, v) => sum + v, 0) / 6;
    expect(kernelDistance(a, b).value).toBeCloseTo(off(a, a) + off(b, b) - off(a, b) - off(b, a), 10);
  });

  test('is 0 within its error for equal distributions, and grows with their distance', () => {
    const far = [0, 0.2, 0.5].map((shift) => kernelDistance(cloud(1, 200, 8), cloud(2, 200, 8, shift)));
    const [none, some, more] = far as [(typeof far)[0], (typeof far)[0], (typeof far)[0]];
    expect(Math.abs(none.value)).toBeLessThan(3 * none.error);
    expect(some.value).toBeGreaterThan(none.value);
    expect(more.value).toBeGreaterThan(3 * more.error);
  });

  test('its error is what repeated draws scatter by', () => {
    const draws = Array.from({ length: 30 }, (_, i) =>
      kernelDistance(cloud(2 * i, 60, 4), cloud(2 * i + 1, 60, 4, 0.7)),
    );
    const values = draws.map(({ value }) => value);
    const mean = values.reduce((sum, value) => sum + value, 0) / 30;
    const scatter = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 29);
    const claimed = draws.reduce((sum, { error }) => sum + error, 0) / 30;
    expect(claimed / scatter).toBeGreaterThan(0.6);
    expect(claimed / scatter).toBeLessThan(1.6);
  });
});

describe('coverage', () => {
  const at = (...values: number[]) => values.map((value) => Float32Array.of(value));

  test('on a line, by hand', () => {
    // distances to the first neighbour: real 1, 1, 8; made 0.5, 0.5, 89
    const real = at(0, 1, 9);
    const made = at(1.5, 2, 91);
    expect(coverage(real, made, 1)).toEqual({ precision: 2 / 3, recall: 2 / 3, density: 4 / 3, coverage: 2 / 3 });
  });

  test('the same set covers itself; sets far apart do not', () => {
    const set = cloud(1, 40, 3);
    expect(coverage(set, set)).toMatchObject({ precision: 1, recall: 1, coverage: 1 });
    expect(coverage(set, cloud(2, 40, 3, 100))).toEqual({ precision: 0, recall: 0, density: 0, coverage: 0 });
    expect(coverage(set.slice(0, 5), set)).toBeUndefined();
  });
});

describe('pictures', () => {
  const flat = (r: number, g: number, b: number) => Uint8Array.from({ length: 300 }, (_, i) => [r, g, b][i % 3] ?? 0);

  test('PSNR', () => {
    expect(psnr(flat(10, 10, 10), flat(15, 15, 15))).toBeCloseTo(20 * Math.log10(51), 10);
    expect(psnr(flat(1, 2, 3), flat(1, 2, 3))).toBe(Number.POSITIVE_INFINITY);
  });

  test('relative distance of latents', () => {
    expect(relativeDistance(Float32Array.of(3, 5), Float32Array.of(3, 4))).toBeCloseTo(0.2, 12);
  });

  test('colours', () => {
    const a = colourStatistics([flat(0, 100, 200), flat(0, 100, 200)]);
    const b = colourStatistics([flat(0, 100, 200), flat(255, 100, 200)]);
    expect(a.means).toEqual([0, 100, 200]);
    expect(a.deviations).toEqual([0, 0, 0]);
    expect(b.deviations[0]).toBeCloseTo(127.5, 10);
    expect(histogramDistance(a.histogram, a.histogram)).toBe(0);
    expect(histogramDistance(a.histogram, b.histogram)).toBeCloseTo(0.5, 10);
    const stripes = (low: number, high: number) => [flat(low, low, low), flat(high, high, high)];
    const wide = colourStatistics(stripes(50, 150));
    expect(channelShift(wide, wide)).toBe(0);
    expect(channelShift(colourStatistics(stripes(60, 160)), wide)).toBeCloseTo(0.1, 10);
    expect(channelShift(colourStatistics(stripes(60, 140)), wide)).toBeCloseTo(0.2, 10);
  });

  test('diversity', () => {
    expect(diversity([[flat(0, 0, 0), flat(6, 6, 6), flat(12, 12, 12)], [flat(9, 9, 9)]])).toBeCloseTo(8, 10);
    expect(diversity([[flat(9, 9, 9)], []])).toBeUndefined();
  });
});

describe('features', () => {
  const scenes = promptItems('dense', 48).map(({ scene }) => renderScene(scene));

  test('the same picture has the same, another one others', () => {
    const [a, b] = scenes as [Uint8Array, Uint8Array];
    expect(pictureFeatures(a)).toHaveLength(FEATURES);
    expect(FEATURES).toBe(448);
    expect(pictureFeatures(a)).toEqual(pictureFeatures(a.slice()));
    expect(pictureFeatures(a)).not.toEqual(pictureFeatures(b));
    expect(pictureFeatures(new Uint8Array(IMAGE_BYTES)).every(Number.isFinite)).toBe(true);
  });

  test('see noise that scores do not: standardized, its distance is beyond its error', () => {
    const random = start(98, 0);
    const spoil = (amount: number) => (pixels: Uint8Array) =>
      pixels.map((value) => Math.max(0, Math.min(255, value + random.int(2 * amount + 1) - amount)));
    const features = scenes.map(pictureFeatures);
    const standardize = standardizer(features);
    const real = features.slice(0, 24).map(standardize);
    const distance = (set: Uint8Array[]) => kernelDistance(set.map(pictureFeatures).map(standardize), real);
    const others = scenes.slice(24);
    const clean = kernelDistance(features.slice(24).map(standardize), real);
    const strong = distance(others.map(spoil(60)));
    expect(Math.abs(clean.value)).toBeLessThan(3 * clean.error);
    expect(strong.value).toBeGreaterThan(3 * strong.error);
  });

  test('standardized, the reference has mean 0 and deviation 1', () => {
    const set = cloud(3, 50, 4, 7).map((each) => each.map((value, k) => value * (k + 1)));
    const mapped = set.map(standardizer(set));
    for (let k = 0; k < 4; k++) {
      const values = mapped.map((each) => each[k] ?? Number.NaN);
      expect(values.reduce((sum, value) => sum + value, 0) / 50).toBeCloseTo(0, 5);
      expect(values.reduce((sum, value) => sum + value * value, 0) / 50).toBeCloseTo(1, 2);
    }
  });
});
