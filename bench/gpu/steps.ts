// The steps of scripts/gpu-check in their order: what can show a fault first, times after it.
import { conformance, goldens, sanitizer, sweep, sweepLarge, sweepSmall } from './checks.js';
import { kernels, matrices } from './kernels.js';
import { model } from './model.js';
import { torch } from './peer.js';
import type { Step } from './plan.js';

export const STEPS: readonly Step[] = [
  conformance,
  sweep,
  goldens,
  kernels,
  matrices,
  model,
  torch,
  sanitizer,
  sweepLarge,
];

/** Steps that other steps run, in processes of their own. */
export const INNER: readonly Step[] = [sweepSmall];

export function stepOf(name: string): Step | undefined {
  return [...STEPS, ...INNER].find((step) => step.name === name);
}
