// Op x case x instruction set against the float64 oracle, then once more for identical bits.
import { afterAll, describe, expect, test } from 'vitest';
import { Context, instructionSets } from '../../lib/tensor/context.js';
import { allCases } from '../kit/all-cases.js';
import { differences, liveOnly, type Results, runCase } from '../kit/run-case.js';
import { check, expectation } from '../kit/sweep.js';
import { fullTier } from '../kit/tier.js';

const full = fullTier(100, 'cases of the bench');
const ops = await allCases();
const sets = instructionSets().filter((set) => set.available);
for (const { name } of instructionSets().filter((set) => !set.available)) {
  console.log(`skipped: instruction set ${name}, which this machine lacks`);
}

const contexts = new Map<string, Context>();
for (const set of sets) contexts.set(set.name, await Context.create({ device: 'cpu', isa: set.name, threads: 2 }));
const worstOf: Record<string, number> = {};

afterAll(async () => {
  for (const cx of contexts.values()) await cx.dispose();
  const figures = Object.entries(worstOf).map(([op, worst]) => `${op} ${worst.toFixed(2)}`);
  console.log(`largest error in units of the tolerance: ${figures.join(', ')}`);
});

for (const cases of ops) {
  describe(cases.op, () => {
    for (const c of cases.cases) {
      if (c.tags.includes('perf') && !full) continue;
      test(c.name, { timeout: 300_000 }, async () => {
        const expected = expectation(cases, c);
        const live = (results: Results) => liveOnly(cases.op, expected.inputs, results);
        const complaints: string[] = [];
        for (const [isa, cx] of contexts) {
          // a software model of an instruction is no place for a large product
          if (c.tags.includes('perf') && /model|scalar/.test(isa)) continue;
          const first = await runCase(cx, cases.op, expected.inputs);
          const verdict = check(cases, expected, first);
          worstOf[cases.op] = Math.max(worstOf[cases.op] ?? 0, verdict.worst);
          complaints.push(...verdict.complaints.map((text) => `${isa}: ${text}`));
          const again = await runCase(cx, cases.op, expected.inputs);
          complaints.push(...differences(live(first), live(again)).map((text) => `${isa}, run twice: ${text}`));
        }
        expect(complaints).toEqual([]);
      });
    }
  });
}
