// What a case's result must be: the oracle's values within the tolerance, for every backend.
import type { OpCase, OpCases, OpInputs, OracleTensor } from './cases.js';
import { seeded } from './cases.js';
import { compare } from './compare.js';
import { aloneInputs, contractOf, type Result, type Results, resultRow, rowOperands, rowsOf } from './run-case.js';

/** Expected outputs of a whole case, or of some rows of it. */
export interface Expectation {
  inputs: OpInputs;
  parts: { row?: number; want: Record<string, OracleTensor> }[];
}

/** What a case should give. */
export function expectation(cases: OpCases, c: OpCase): Expectation {
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
export function check(
  cases: OpCases,
  { inputs, parts }: Expectation,
  got: Results,
): { complaints: string[]; worst: number } {
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
