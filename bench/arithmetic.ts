// The bench's own arithmetic: everything that turns samples, costs and events into the figures it prints.
import type { ProfileEvent } from '../lib/profile/events.js';
import { seeded } from '../test/kit/cases.js';

/** A quantile of a sample by linear interpolation between order statistics; `p` from 0 to 1. NaN for an empty sample. */
export function quantile(sample: readonly number[], p: number): number {
  const sorted = [...sample].sort((a, b) => a - b);
  const at = p * (sorted.length - 1);
  const low = sorted[Math.floor(at)];
  const high = sorted[Math.ceil(at)];
  if (low === undefined || high === undefined) return Number.NaN;
  return low + (high - low) * (at - Math.floor(at));
}

export const median = (sample: readonly number[]): number => quantile(sample, 0.5);

/** The ratio of two samples' medians. */
export const ratioOfMedians = (a: readonly number[], b: readonly number[]): number => median(a) / median(b);

/** A ratio of medians, and where 95 % of its resamples lie. */
export interface PairedRatio {
  ratio: number;
  low: number;
  high: number;
}

/**
 * The ratio of the medians of two samples that were taken in turns, with a 95 % interval by the percentile bootstrap over rounds:
 * both samples of a round are drawn together, so that what disturbed a round disturbs both. Deterministic.
 *
 * @throws RangeError for samples of different length
 */
export function pairedRatio(a: readonly number[], b: readonly number[], resamples = 2000): PairedRatio {
  if (a.length !== b.length) throw new RangeError(`${a.length} samples beside ${b.length}`);
  const rng = seeded(1);
  const ratios = Array.from({ length: resamples }, () => {
    const rounds = a.map(() => Math.floor(rng() * a.length));
    return ratioOfMedians(
      rounds.map((i) => a[i] as number),
      rounds.map((i) => b[i] as number),
    );
  });
  return { ratio: ratioOfMedians(a, b), low: quantile(ratios, 0.025), high: quantile(ratios, 0.975) };
}

/** What a contract says of a call. */
export interface Cost {
  flops: number;
  bytes: number;
}

/** What all ops of a profile cost together. */
export function costOf(events: readonly ProfileEvent[]): Cost {
  const sum = { flops: 0, bytes: 0 };
  for (const e of events) {
    if (e.op === '') continue;
    sum.flops += e.flops;
    sum.bytes += e.bytes;
  }
  return sum;
}

/** Work whose flops may run at several rates. */
export interface Work {
  /** Seconds that the arithmetic alone takes at the rate of its instructions. */
  arithmetic: number;
  /** Seconds that moving every operand once takes. */
  movement: number;
}

export interface Floor {
  seconds: number;
  bound: 'flops' | 'bytes';
}

/** The least time that work can take: arithmetic and movement overlap at best. */
export function floorOf({ arithmetic, movement }: Work): Floor {
  return arithmetic > movement ? { seconds: arithmetic, bound: 'flops' } : { seconds: movement, bound: 'bytes' };
}

/** Work of a cost at the given rates per second. */
export function workOf(cost: Cost, flopRate: number, byteRate: number): Work {
  return { arithmetic: cost.flops / flopRate, movement: cost.bytes / byteRate };
}

/**
 * The share of the executor's time that no op ran in, from the start of the first op to the end of the last: dispatch, queue,
 * copies, waiting for JavaScript. 0 to 1; NaN without ops.
 */
export function outsideOps(events: readonly ProfileEvent[]): number {
  let start = Number.POSITIVE_INFINITY;
  let end = Number.NEGATIVE_INFINITY;
  let inside = 0;
  for (const event of events) {
    if (event.op === '') continue;
    start = Math.min(start, event.startNs);
    end = Math.max(end, event.endNs);
    inside += event.endNs - event.startNs;
  }
  return end > start ? 1 - inside / (end - start) : Number.NaN;
}

/** Ops that come after the forward of a denoise step, and the one that begins the next. */
const AFTER_FORWARD = ['philox_normal', 'guided_update'];
const BEGINS_FORWARD = 'time_embedding';

/** The share of op time that the ops of denoise steps take outside the model's forward. NaN without ops. */
export function outsideForward(events: readonly ProfileEvent[]): number {
  let after = false;
  let [outside, all] = [0, 0];
  for (const { op, startNs, endNs } of events) {
    if (op === '') continue;
    if (op === BEGINS_FORWARD) after = false;
    else if (AFTER_FORWARD.includes(op)) after = true;
    all += endNs - startNs;
    if (after) outside += endNs - startNs;
  }
  return outside / all;
}

/** How often work of `seconds` is to be repeated to take at least `target` seconds: 1 to `most`. */
export function repeatsFor(seconds: number, target: number, most: number): number {
  return Math.max(1, Math.min(most, Math.ceil(target / Math.max(seconds, 1e-9))));
}
