import { mean } from './suite.js';

/** A set of feature vectors of one length. */
export type Features = readonly Float32Array[];

/**
 * Maps features so that those of `real` have mean 0 and deviation 1, one by one; without it the few that follow the background's
 * brightness drown all others.
 */
export function standardizer(real: Features): (features: Float32Array) => Float32Array {
  const moments = Array.from(real[0] ?? [], (_, k) => {
    const values = real.map((each) => each[k] as number);
    const middle = mean(values);
    return { middle, deviation: Math.sqrt(mean(values.map((value) => (value - middle) ** 2))) };
  });
  return (features) =>
    features.map((value, k) => {
      const { middle = 0, deviation = 0 } = moments[k] ?? {};
      return (value - middle) / (deviation + LEAST_DEVIATION);
    });
}

/** Features that hardly differ among the world's pictures must not blow up rounding noise. */
const LEAST_DEVIATION = 1e-3;

/**
 * Kernel inception distance: the unbiased estimate of the squared maximum mean discrepancy with the cubic kernel
 * k(x, y) = (x.y / d + 1)^3, and its standard error (that of a U-statistic, 2 sd(h) / sqrt(n)). It may be below 0.
 *
 * @param a, b as many vectors each, at least 2
 */
export function kernelDistance(a: Features, b: Features): { value: number; error: number } {
  const n = a.length;
  // h[i] = mean over j != i of k(a_i, a_j) + k(b_i, b_j) - k(a_i, b_j) - k(b_i, a_j)
  const h = a.map((ai, i) => {
    const bi = b[i] as Float32Array;
    let sum = 0;
    for (let j = 0; j < n; j++) {
      if (j === i) continue;
      const aj = a[j] as Float32Array;
      const bj = b[j] as Float32Array;
      sum += cubic(ai, aj) + cubic(bi, bj) - cubic(ai, bj) - cubic(bi, aj);
    }
    return sum / (n - 1);
  });
  const value = mean(h);
  const variance = h.reduce((sum, each) => sum + (each - value) ** 2, 0) / (n - 1);
  return { value, error: 2 * Math.sqrt(variance / n) };
}

function cubic(x: Float32Array, y: Float32Array): number {
  let sum = 0;
  for (let k = 0; k < x.length; k++) sum += (x[k] as number) * (y[k] as number);
  return (sum / x.length + 1) ** 3;
}

/** How two sets cover each other; balls are those of the k-th nearest neighbour. */
export interface Coverage {
  /** Share of made pictures in some ball of the real ones. */
  readonly precision: number;
  /** Share of real pictures in some ball of the made ones. */
  readonly recall: number;
  /** Balls of real pictures that a made picture is in, over k: 1 for equal distributions. */
  readonly density: number;
  /** Share of real pictures with some made picture in their ball. */
  readonly coverage: number;
}

/** Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020). Undefined for k pictures or fewer. */
export function coverage(real: Features, made: Features, k = 5): Coverage | undefined {
  if (Math.min(real.length, made.length) <= k) return undefined;
  const realRadii = neighbourDistances(real, k);
  const madeRadii = neighbourDistances(made, k);
  const distances = made.map((each) => real.map((other) => squaredDistance(each, other)));
  const inReal = distances.map((row) => row.filter((distance, i) => distance <= (realRadii[i] as number)).length);
  const covered = (radius: (made: number, real: number) => number) =>
    mean(real.map((_, i) => distances.some((row, j) => (row[i] as number) <= radius(j, i))));
  return {
    precision: mean(inReal.map((count) => count > 0)),
    recall: covered((j) => madeRadii[j] as number),
    density: mean(inReal) / k,
    coverage: covered((_, i) => realRadii[i] as number),
  };
}

/** Squared distance of each vector to its k-th nearest other one. */
function neighbourDistances(set: Features, k: number): number[] {
  return set.map((each, i) => {
    const others = set.filter((_, j) => j !== i).map((other) => squaredDistance(each, other));
    return others.sort((a, b) => a - b)[k - 1] as number;
  });
}

function squaredDistance(x: Float32Array, y: Float32Array): number {
  let sum = 0;
  for (let k = 0; k < x.length; k++) sum += ((x[k] as number) - (y[k] as number)) ** 2;
  return sum;
}

/** dB, peak 255; Infinity for equal pictures. */
export function psnr(a: Uint8Array, b: Uint8Array): number {
  return 20 * Math.log10(255 / rootMeanSquare(a, b));
}

/** Root of the mean squared difference. */
export function rootMeanSquare(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += ((a[k] as number) - (b[k] as number)) ** 2;
  return Math.sqrt(sum / a.length);
}

/** ||a - b|| / ||b|| */
export function relativeDistance(a: Float32Array, b: Float32Array): number {
  return rootMeanSquare(a, b) / rootMeanSquare(b, new Float32Array(b.length));
}

/** Pixels of many pictures, counted by colour. */
export interface ColourStatistics {
  /** Of each channel, over all pixels. */
  readonly means: readonly number[];
  readonly deviations: readonly number[];
  /** Shares of 8 x 8 x 8 colour bins. */
  readonly histogram: Float64Array;
}

export function colourStatistics(pictures: readonly Uint8Array[]): ColourStatistics {
  const sums = [0, 0, 0];
  const squares = [0, 0, 0];
  const histogram = new Float64Array(512);
  const pixels = pictures.reduce((sum, { length }) => sum + length / 3, 0);
  for (const picture of pictures) {
    for (let at = 0; at < picture.length; at += 3) {
      let bin = 0;
      for (let channel = 0; channel < 3; channel++) {
        const value = picture[at + channel] as number;
        sums[channel] = (sums[channel] as number) + value;
        squares[channel] = (squares[channel] as number) + value * value;
        bin = bin * 8 + (value >> 5);
      }
      histogram[bin] = (histogram[bin] as number) + 1 / pixels;
    }
  }
  const means = sums.map((sum) => sum / pixels);
  const deviations = squares.map((sum, channel) => Math.sqrt(sum / pixels - (means[channel] as number) ** 2));
  return { means, deviations, histogram };
}

/** Half the sum of absolute differences: 0 for equal shares, 1 for colours that have nothing in common. */
export function histogramDistance(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, share, bin) => sum + Math.abs(share - (b[bin] as number)), 0) / 2;
}

/** Largest relative difference of a channel's mean or standard deviation. */
export function channelShift(a: ColourStatistics, b: ColourStatistics): number {
  const shifts = (values: readonly number[], wanted: readonly number[]) =>
    values.map((value, channel) => Math.abs(value - (wanted[channel] as number)) / (wanted[channel] as number));
  return Math.max(...shifts(a.means, b.means), ...shifts(a.deviations, b.deviations));
}

/** Mean over groups of the mean root-mean-square difference between two pictures of a group. Undefined without pairs. */
export function diversity(groups: readonly (readonly Uint8Array[])[]): number | undefined {
  const spreads = groups.flatMap((group) => {
    const pairs = group.flatMap((a, i) => group.slice(i + 1).map((b) => rootMeanSquare(a, b)));
    return pairs.length === 0 ? [] : [mean(pairs)];
  });
  return spreads.length === 0 ? undefined : mean(spreads);
}
