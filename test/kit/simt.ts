// The device simt in tests of ops: which ops it has, and contexts in which their kernels are watched.
import { HyperBagelError } from '../../lib/errors.js';
import { Context } from '../../lib/tensor/context.js';
import type { OpCases } from './cases.js';
import { seeded } from './cases.js';
import { contractOf, uploadAll } from './run-case.js';

/** Orders in which threads and blocks take turns: in order, and two that are random but repeatable. */
export const SEEDS = [0, 1, 2] as const;

/** Kernels run at once, watched for races, with device memory closed to everything else. */
export function openSimt(seed = 0): Promise<Context> {
  return Context.create({ device: 'simt', simt: { seed, guarded: true, races: true } });
}

/** Why the device cannot run an op at all, or null. */
function missing(cx: Context, { op, cases }: OpCases): string | null {
  const only = contractOf(op).cpuOnly;
  if (only !== null) return `on the cpu only: ${only}`;
  const inputs = cases[0]?.build(seeded(1));
  if (!inputs) throw new Error(`${op} has no cases`);
  // packed or not makes no difference to whether there is a kernel
  const operands = Object.fromEntries(
    Object.entries(inputs.operands).map(([name, operand]) => [name, { ...operand, packed: false }]),
  );
  const tensors = uploadAll(cx, { ...inputs, operands });
  const attributes = op === 'emit' ? { ...inputs.attributes, channel: 0 } : inputs.attributes;
  try {
    cx.record(() => cx.call(op, tensors, attributes)).dispose();
    return null;
  } catch (error) {
    if (HyperBagelError.isInstance(error) && error.code === 'NOT_SUPPORTED' && error.op === op) return 'no kernel yet';
    throw error;
  }
}

/** The ops that have kernels; says which have none, and why. */
export async function simtOps(ops: readonly OpCases[]): Promise<OpCases[]> {
  const cx = await openSimt();
  const without = new Map<string, string>();
  for (const cases of ops) {
    const reason = missing(cx, cases);
    if (reason !== null) without.set(cases.op, reason);
  }
  await cx.dispose();
  for (const reason of new Set(without.values())) {
    const names = [...without].filter(([, why]) => why === reason).map(([op]) => op);
    console.log(`not on simt, ${reason}: ${names.join(', ')}`);
  }
  return ops.filter(({ op }) => !without.has(op));
}
