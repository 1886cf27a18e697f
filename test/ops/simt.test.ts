// The op sweep on the CUDA kernels, run by the emulator: every case against the float64 oracle in several schedules, watched for
// races, with device memory closed to the host; the same bits in all of them.
import { afterAll, describe, expect, test } from 'vitest';
import { Context } from '../../lib/tensor/context.js';
import { allCases } from '../kit/all-cases.js';
import { seeded } from '../kit/cases.js';
import { checkCase, checkLaw, flopsOf, LAWS, onDevice } from '../kit/device-sweep.js';
import { openSimt, SEEDS, simtOps } from '../kit/simt.js';
import { fullTier } from '../kit/tier.js';

const full = fullTier(
  100,
  'cases of the bench up to 20 MFLOP, a third schedule; of law 1, most rows that are alone, and the search for races',
);
/** The emulator is no place for a large product. */
const MOST_FLOPS = 20e6;

const ops = (await simtOps(await allCases())).map(onDevice);
const seeds = full ? SEEDS : SEEDS.slice(0, 2);
const runners = await Promise.all(seeds.map(async (seed) => ({ name: `seed ${seed}`, cx: await openSimt(seed) })));
// the cases themselves have been watched for races when law 1 runs them again
const [inOrder, random] = await Promise.all([openSimt(SEEDS[0], full), openSimt(SEEDS[1], full)]);
const cpu = await Context.create({ device: 'cpu' });
const worstOf: Record<string, number> = {};
const tooLarge: string[] = [];

afterAll(async () => {
  for (const cx of [...runners.map((runner) => runner.cx), inOrder, random, cpu]) await cx.dispose();
  const figures = Object.entries(worstOf).map(([op, worst]) => `${op} ${worst.toFixed(2)}`);
  console.log(`largest error on simt in units of the tolerance: ${figures.join(', ')}`);
  if (tooLarge.length > 0) console.log(`skipped on simt, above 20 MFLOP: ${tooLarge.join(', ')}`);
});

for (const cases of ops) {
  describe(cases.op, () => {
    for (const c of cases.cases) {
      const perf = c.tags.includes('perf');
      if (perf && !full) continue;
      test(c.name, { timeout: 300_000 }, async () => {
        // before the oracle, which takes its time
        if (perf && (await flopsOf(cpu, cases.op, c.build(seeded(7)))) > MOST_FLOPS) {
          tooLarge.push(`${cases.op} ${c.name}`);
          return;
        }
        const verdict = await checkCase(runners, cases, c);
        worstOf[cases.op] = Math.max(worstOf[cases.op] ?? 0, verdict.worst);
        expect(verdict.complaints).toEqual([]);
      });
    }
  });
}

for (const law of LAWS) {
  describe(law.name, () => {
    for (const cases of ops.filter(law.applies)) {
      test(cases.op, { timeout: 300_000 }, async () => {
        const { complaints, checked } = await checkLaw(law, random, inOrder, cases, full ? 8 : 2);
        expect(complaints).toEqual([]);
        expect(checked, 'cases that the check applies to').toBeGreaterThan(0);
      });
    }
  });
}
