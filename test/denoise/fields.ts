// Velocity fields that are known in closed form (few-step-denoising: 7.1).
import type { VelocityField } from '../../lib/denoise/solver.js';

/** Data of normal distribution with this mean and deviation; along a path x(t) = (1 - t) mean + sqrt(V) e, V = (1-t)^2 S^2 + t^2. */
export function gaussianField(mean: number, deviation: number): VelocityField {
  return (x, t) => {
    const variance = (1 - t) ** 2 * deviation ** 2 + t ** 2;
    const factor = (t - (1 - t) * deviation ** 2) / variance;
    return x.map((value) => factor * (value - (1 - t) * mean) - mean);
  };
}

/** Data that is +1 or -1, each in half of the cases. */
export const twoPointField: VelocityField = (x, t) =>
  x.map((value) => (value - Math.tanh(((1 - t) * value) / t ** 2)) / t);

/** Data that is one point. */
export function pointField(point: number): VelocityField {
  return (x, t) => x.map((value) => (value - point) / t);
}

/** The same velocity everywhere. */
export function constantField(velocity: number): VelocityField {
  return (x) => x.map(() => velocity);
}

/** Starting noise: some quantiles of the normal distribution, and beyond. */
export const NOISE = [-2.5, -1.2, -0.4, 0.1, 0.7, 1.6, 2.8];

export const largestError = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (value, i) => Math.abs(value - (b[i] as number))));

/** i / n spaced times from 1 to 0, shifted, in float64. */
export const uniform = (steps: number): number[] => Array.from({ length: steps + 1 }, (_, i) => 1 - i / steps);
