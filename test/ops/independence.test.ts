// Law 1: for the same instruction set a row's bits depend only on that row and its context: not on the thread count, on the rows
// beside it, on what lies beyond the live rows, or on the layout of a weight. And dead rows are never written.
import { afterAll, describe, expect, test } from 'vitest';
import { Context, instructionSets } from '../../lib/tensor/context.js';
import { allCases } from '../kit/all-cases.js';
import type { OpCases, OpInputs } from '../kit/cases.js';
import { seeded } from '../kit/cases.js';
import { deadRows, hasRows, plainAndPacked, rowAlone, takesPacked } from '../kit/independence.js';
import { differences, liveOnly, type Results, runCase } from '../kit/run-case.js';
import { fullTier } from '../kit/tier.js';

const full = fullTier(30, 'half of the rows that are alone');
const ops = await allCases();
// an instruction set that the machine lacks is exercised through the software model of its instructions
const sets = instructionSets().filter((set) => set.available || set.model);
for (const { name } of instructionSets().filter((set) => !set.available && !set.model)) {
  console.log(`skipped: instruction set ${name}, which this machine lacks`);
}

const one = new Map<string, Context>();
const four = new Map<string, Context>();
for (const { name } of sets) {
  one.set(name, await Context.create({ device: 'cpu', isa: name, threads: 1 }));
  four.set(name, await Context.create({ device: 'cpu', isa: name, threads: 4 }));
}
afterAll(async () => {
  for (const cx of [...one.values(), ...four.values()]) await cx.dispose();
});

/** Runs `check` for every case that is not the bench's, on every instruction set; it returns complaints. */
function forCases(
  what: (cases: OpCases) => boolean,
  check: (cases: OpCases, inputs: OpInputs, isa: string) => Promise<string[] | null>,
): void {
  for (const cases of ops.filter(what)) {
    test(cases.op, { timeout: 300_000 }, async () => {
      const complaints: string[] = [];
      let checked = 0;
      for (const c of cases.cases.filter(({ tags }) => !tags.includes('perf'))) {
        const inputs = c.build(seeded(11));
        for (const { name } of sets) {
          const found = await check(cases, inputs, name);
          if (found) checked++;
          complaints.push(...(found ?? []).map((text) => `${c.name}, ${name}: ${text}`));
        }
      }
      expect(complaints).toEqual([]);
      expect(checked, 'cases that the check applies to').toBeGreaterThan(0);
    });
  }
}

/** A case on four threads, and whether several had a part in it. */
async function runOnFour({ op }: OpCases, inputs: OpInputs, isa: string): Promise<{ results: Results; many: boolean }> {
  const cx = four.get(isa) as Context;
  cx.profileStart();
  const results = await runCase(cx, op, inputs);
  return { results, many: cx.profileStop().some((event) => event.op === op && event.threads > 1) };
}

describe('1 thread and 4 threads give the same bits', () => {
  const shared = new Set<string>();
  const compareWithOne = async ({ op }: OpCases, inputs: OpInputs, isa: string, results: Results) => {
    const alone = await runCase(one.get(isa) as Context, op, inputs);
    return differences(liveOnly(op, inputs, alone), liveOnly(op, inputs, results));
  };
  forCases(
    () => true,
    async (cases, inputs, isa) => {
      const { results, many } = await runOnFour(cases, inputs, isa);
      if (many) shared.add(cases.op);
      return compareWithOne(cases, inputs, isa, results);
    },
  );

  // A case that the executor runs alone says nothing about threads.
  test('in ops that are shared out among threads', { timeout: 300_000 }, async () => {
    const best = sets[0]?.name as string;
    const complaints: string[] = [];
    for (const cases of ops.filter(({ op }) => !shared.has(op))) {
      for (const c of cases.cases.filter(({ tags }) => tags.includes('perf'))) {
        const inputs = c.build(seeded(11));
        const { results, many } = await runOnFour(cases, inputs, best);
        if (!many) continue;
        shared.add(cases.op);
        const found = await compareWithOne(cases, inputs, best, results);
        complaints.push(...found.map((text) => `${cases.op}, ${c.name}, ${best}: ${text}`));
      }
    }
    expect(complaints).toEqual([]);
    expect(shared.size).toBeGreaterThan(0);
    const never = ops.filter(({ op }) => !shared.has(op)).map(({ op }) => op);
    if (never.length > 0) console.log(`no case is large enough for several threads: ${never.join(', ')}`);
  });
});

describe('a plain weight and a packed one give the same bits', () => {
  forCases(takesPacked, (cases, inputs, isa) => plainAndPacked(four.get(isa) as Context, cases, inputs));
});

describe('a row alone has the bits that it has among the others', () => {
  forCases(hasRows, (cases, inputs, isa) =>
    rowAlone(four.get(isa) as Context, one.get(isa) as Context, cases, inputs, full ? 8 : 4),
  );
});

describe('rows beyond the live ones are neither read nor written', () => {
  forCases(hasRows, (cases, inputs, isa) => deadRows(four.get(isa) as Context, cases, inputs));
});
