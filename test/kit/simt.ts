// The device simt in tests of ops: which ops it has, and contexts in which their kernels are watched.
import { Context } from '../../lib/tensor/context.js';
import type { OpCases } from './cases.js';
import { missingKernel } from './device-sweep.js';

/** Orders in which threads and blocks take turns: in order, and two that are random but repeatable. */
export const SEEDS = [0, 1, 2] as const;

/** Kernels run at once, watched for races unless told otherwise, with device memory closed to everything else. */
export function openSimt(seed = 0, races = true): Promise<Context> {
  return Context.create({ device: 'simt', simt: { seed, guarded: true, races } });
}

/** The ops that have kernels; says which have none, and why. */
export async function simtOps(ops: readonly OpCases[]): Promise<OpCases[]> {
  const cx = await openSimt();
  const without = new Map<string, string>();
  for (const cases of ops) {
    const reason = missingKernel(cx, cases);
    if (reason !== null) without.set(cases.op, reason);
  }
  await cx.dispose();
  for (const reason of new Set(without.values())) {
    const names = [...without].filter(([, why]) => why === reason).map(([op]) => op);
    console.log(`not on simt, ${reason}: ${names.join(', ')}`);
  }
  return ops.filter(({ op }) => !without.has(op));
}
