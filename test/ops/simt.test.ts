// The op sweep on the CUDA kernels, run by the emulator: every case against the float64 oracle in three schedules, watched for
// races, with device memory closed to the host; the same bits in all of them.
import { afterAll, describe, expect, test } from 'vitest';
import { Context } from '../../lib/tensor/context.js';
import { allCases } from '../kit/all-cases.js';
import type { OpCases, OpInputs } from '../kit/cases.js';
import { seeded } from '../kit/cases.js';
import { deadRows, hasRows, plainAndPacked, rowAlone, takesPacked } from '../kit/independence.js';
import { differences, liveOnly, type Results, runCase } from '../kit/run-case.js';
import { openSimt, SEEDS, simtOps } from '../kit/simt.js';
import { check, expectation } from '../kit/sweep.js';

const full = process.env.HB_TEST_FULL === '1';
/** The emulator is no place for a large product. */
const MOST_FLOPS = 20e6;

const ops = await simtOps(await allCases());
if (!full) console.log('skipped on simt: cases of the bench (HB_TEST_FULL=1 runs those up to 20 MFLOP)');
const contexts = await Promise.all(SEEDS.map((seed) => openSimt(seed)));
const cpu = await Context.create({ device: 'cpu' });
const worstOf: Record<string, number> = {};
const tooLarge: string[] = [];

afterAll(async () => {
  for (const cx of [...contexts, cpu]) await cx.dispose();
  const figures = Object.entries(worstOf).map(([op, worst]) => `${op} ${worst.toFixed(2)}`);
  console.log(`largest error on simt in units of the tolerance: ${figures.join(', ')}`);
  if (tooLarge.length > 0) console.log(`skipped on simt, above 20 MFLOP: ${tooLarge.join(', ')}`);
});

/** Flops of a case, by its contract. */
async function flopsOf(op: string, inputs: OpInputs): Promise<number> {
  cpu.profileStart();
  await runCase(cpu, op, inputs);
  return Math.max(0, ...cpu.profileStop().map((event) => (event.op === op ? event.flops : 0)));
}

for (const all of ops) {
  const cases = {
    ...all,
    oracle: all.onDevice ?? all.oracle,
    ...(all.deviceTolerance ? { tolerance: all.deviceTolerance } : {}),
  };
  describe(cases.op, () => {
    for (const c of cases.cases) {
      const perf = c.tags.includes('perf');
      if (perf && !full) continue;
      test(c.name, { timeout: 300_000 }, async () => {
        const expected = expectation(cases, c);
        if (perf && (await flopsOf(cases.op, expected.inputs)) > MOST_FLOPS) {
          tooLarge.push(`${cases.op} ${c.name}`);
          return;
        }
        const complaints: string[] = [];
        let first: Results | undefined;
        for (const [i, cx] of contexts.entries()) {
          const results = await runCase(cx, cases.op, expected.inputs);
          const verdict = check(cases, expected, results);
          worstOf[cases.op] = Math.max(worstOf[cases.op] ?? 0, verdict.worst);
          complaints.push(...verdict.complaints.map((text) => `seed ${SEEDS[i]}: ${text}`));
          const live = liveOnly(cases.op, expected.inputs, results);
          complaints.push(...differences(first ?? live, live).map((text) => `seeds 0 and ${SEEDS[i]}: ${text}`));
          first ??= live;
        }
        expect(complaints).toEqual([]);
      });
    }
  });
}

/** Runs a check on all cases but the bench's, in a schedule of its own. */
function forCases(
  what: (cases: OpCases) => boolean,
  checkCase: (cases: OpCases, inputs: OpInputs) => Promise<string[] | null>,
): void {
  for (const cases of ops.filter(what)) {
    test(cases.op, { timeout: 300_000 }, async () => {
      const complaints: string[] = [];
      let checked = 0;
      for (const c of cases.cases.filter(({ tags }) => !tags.includes('perf'))) {
        const found = await checkCase(cases, c.build(seeded(11)));
        if (found) checked++;
        complaints.push(...(found ?? []).map((text) => `${c.name}: ${text}`));
      }
      expect(complaints).toEqual([]);
      expect(checked, 'cases that the check applies to').toBeGreaterThan(0);
    });
  }
}

const [inOrder, random] = contexts as [Context, Context];

describe('a plain weight and a packed one give the same bits', () => {
  forCases(takesPacked, (cases, inputs) => plainAndPacked(inOrder, cases, inputs));
});

describe('a row alone has the bits that it has among the others', () => {
  forCases(hasRows, (cases, inputs) => rowAlone(random, inOrder, cases, inputs, full ? 8 : 3));
});

describe('rows beyond the live ones are neither read nor written', () => {
  forCases(hasRows, (cases, inputs) => deadRows(inOrder, cases, inputs));
});
