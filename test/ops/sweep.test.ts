// Op x case x instruction set against the float64 oracle, then once more for identical bits.
import { afterAll, describe, expect, test } from 'vitest';
import { Context, instructionSets } from '../../lib/tensor/context.js';
import { allCases } from '../kit/all-cases.js';
import type { OpCase, OpCases, OpInputs, OracleTensor } from '../kit/cases.js';
import { seeded } from '../kit/cases.js';
import { compare } from '../kit/compare.js';
import {
  aloneInputs,
  contractOf,
  differences,
  liveOnly,
  type Result,
  type Results,
  resultRow,
  rowOperands,
  rowsOf,
  runCase,
} from '../kit/run-case.js';

const full = process.env.HB_TEST_FULL === '1';
const ops = await allCases();
const sets = instructionSets().filter((set) => set.available);
for (const { name } of instructionSets().filter((set) => !set.available)) {
  console.log(`skipped: instruction set ${name}, which this machine lacks`);
}
if (!full) console.log('skipped: cases of the bench (HB_TEST_FULL=1 runs them)');

/** Expected outputs of a whole case, or of some rows of it. */
interface Expectation {
  inputs: OpInputs;
  parts: { row?: number; want: Record<string, OracleTensor> }[];
}

function expectation(cases: OpCases, c: OpCase): Expectation {
  const inputs = c.build(seeded(7));
  const rows = rowsOf(cases.op, inputs);
  const stateful = contractOf(cases.op).operands.some((o) => o.role === 'inout');
  if (c.sampleRows === undefined || !rows || stateful || cases.alone || c.sampleRows >= rows.live) {
    return { inputs, parts: [{ want: cases.oracle(inputs) }] };
  }
  const n = c.sampleRows;
  const sample = Array.from({ length: n }, (_, i) =>
    n > 1 ? Math.round((i * (rows.live - 1)) / (n - 1)) : rows.live - 1,
  );
  return {
    inputs,
    parts: sample.map((row) => ({ row, want: cases.oracle(aloneInputs(cases.op, inputs, row)) })),
  };
}

/** Complaints about a result, and its largest error in units of the tolerance. */
function check(cases: OpCases, { inputs, parts }: Expectation, got: Results): { complaints: string[]; worst: number } {
  const withRows = rowOperands(cases.op);
  const live = rowsOf(cases.op, inputs)?.live;
  const complaints: string[] = [];
  let worst = 0;
  for (const { row, want } of parts) {
    const names = new Set([...Object.keys(want), ...Object.keys(got)]);
    for (const name of names) {
      const [expected, whole] = [want[name], got[name]];
      const role = contractOf(cases.op).operands.find((o) => o.name === name)?.role;
      if (!whole) complaints.push(`${name} is missing`);
      if (!expected && role !== 'inout') complaints.push(`the oracle has no ${name}`);
      if (!expected && role === 'inout') {
        const before = inputs.operands[name] as Result & OpInputs['operands'][string];
        const same = compare(
          whole as Result,
          { shape: before.shape, data: Float64Array.from(before.data) },
          everything(before.data.length),
        );
        if (same.complaint) complaints.push(`${name}, which the oracle leaves as it was: ${same.complaint}`);
      }
      if (!expected || !whole) continue;
      const result = row === undefined ? whole : resultRow(whole, row);
      const width = expected.data.length / Math.max(1, expected.shape[0] ?? 1);
      const all = row !== undefined || live === undefined || !withRows.has(name);
      const rule = {
        count: all ? expected.data.length : live * width,
        exact: cases.exact?.includes(name) ?? false,
        tolerance: cases.tolerance,
      };
      const verdict = compare(result, expected, rule);
      worst = Math.max(worst, verdict.worst);
      if (verdict.complaint) complaints.push(`${name}${row === undefined ? '' : ` of row ${row}`}${verdict.complaint}`);
    }
  }
  return { complaints, worst };
}

function everything(count: number) {
  return { count, exact: true, tolerance: undefined };
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
