// The op sweep on a device, as the tests run it on the emulator and scripts/gpu-check on a card: which ops it has, what a case must
// give, and law 1.
import { HyperBagelError } from '../../lib/errors.js';
import type { Context } from '../../lib/tensor/context.js';
import type { OpCase, OpCases, OpInputs } from './cases.js';
import { seeded } from './cases.js';
import { deadRows, hasRows, plainAndPacked, rowAlone, takesPacked } from './independence.js';
import { contractOf, differences, liveOnly, type Results, runCase, uploadAll } from './run-case.js';
import { check, type Expectation, expectation } from './sweep.js';

/** Why the device cannot run an op at all, or null. */
export function missingKernel(cx: Context, { op, cases }: OpCases): string | null {
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

/** An op's cases with what holds for devices in place of what holds for the cpu. */
export function onDevice(cases: OpCases): OpCases {
  return {
    ...cases,
    oracle: cases.onDevice ?? cases.oracle,
    ...(cases.deviceTolerance ? { tolerance: cases.deviceTolerance } : {}),
  };
}

/** A context, and what to call it in a complaint. */
export interface Runner {
  name: string;
  cx: Context;
}

export interface Verdict {
  complaints: string[];
  /** Largest error in units of the tolerance. */
  worst: number;
}

/** A case in every context: within the tolerance of the oracle, and the same bits in all. `cases` are those of {@link onDevice}. */
export async function checkCase(
  runners: readonly Runner[],
  cases: OpCases,
  c: OpCase,
  expected: Expectation = expectation(cases, c),
): Promise<Verdict> {
  const complaints: string[] = [];
  let worst = 0;
  let first: { name: string; live: Results } | undefined;
  for (const { name, cx } of runners) {
    const results = await runCase(cx, cases.op, expected.inputs);
    const verdict = check(cases, expected, results);
    worst = Math.max(worst, verdict.worst);
    complaints.push(...verdict.complaints.map((text) => `${name}: ${text}`));
    const live = liveOnly(cases.op, expected.inputs, results);
    const from = first;
    if (from) complaints.push(...differences(from.live, live).map((text) => `${from.name} and ${name}: ${text}`));
    first ??= { name, live };
  }
  return { complaints, worst };
}

/** Flops of a case by its contract, found with a context of the cpu. */
export async function flopsOf(cpu: Context, op: string, inputs: OpInputs): Promise<number> {
  cpu.profileStart();
  await runCase(cpu, op, inputs);
  return Math.max(0, ...cpu.profileStop().map((event) => (event.op === op ? event.flops : 0)));
}

/** A check of law 1 on one case; null when it does not apply to the case. */
export interface Law {
  name: string;
  applies(cases: OpCases): boolean;
  /** Rows are computed together in `together`, alone in `apart`; at most `rows` of them are. */
  check(together: Context, apart: Context, cases: OpCases, inputs: OpInputs, rows: number): Promise<string[] | null>;
}

export const LAWS: readonly Law[] = [
  {
    name: 'a plain weight and a packed one give the same bits',
    applies: takesPacked,
    check: (_, apart, cases, inputs) => plainAndPacked(apart, cases, inputs),
  },
  {
    name: 'a row alone has the bits that it has among the others',
    applies: hasRows,
    check: rowAlone,
  },
  {
    name: 'rows beyond the live ones are neither read nor written',
    applies: hasRows,
    check: (_, apart, cases, inputs) => deadRows(apart, cases, inputs),
  },
];

/** A law on all cases of an op but the bench's: complaints, and how many cases it applied to. */
export async function checkLaw(
  law: Law,
  together: Context,
  apart: Context,
  cases: OpCases,
  rows = 8,
): Promise<{ complaints: string[]; checked: number }> {
  const complaints: string[] = [];
  let checked = 0;
  for (const c of cases.cases.filter(({ tags }) => !tags.includes('perf'))) {
    const found = await law.check(together, apart, cases, c.build(seeded(11)), rows);
    if (found) checked++;
    complaints.push(...(found ?? []).map((text) => `${c.name}: ${text}`));
  }
  return { complaints, checked };
}
