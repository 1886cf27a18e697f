// What the CUDA kernels do, counted by the emulator and compared with a table that stands in the repository: matrix
// instructions, bytes by each way of copying, turns at the banks of shared memory, barriers. A change that moves a figure
// has to move its line too: `HB_UPDATE_COUNTERS=1 npx vitest run test/simt/counters.test.ts` writes the table anew.
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, expect, test } from 'vitest';
import { allCases } from '../kit/all-cases.js';
import { seeded } from '../kit/cases.js';
import { runCase } from '../kit/run-case.js';
import { openSimt, simtOps } from '../kit/simt.js';

type Figures = Record<string, number>;
const file = new URL('counters.json', import.meta.url);
const update = process.env.HB_UPDATE_COUNTERS === '1';
const table: Record<string, Record<string, Figures>> = update ? {} : JSON.parse(readFileSync(file, 'utf8'));
const ops = await simtOps(await allCases());
const cx = await openSimt();
const orders = await openSimt(2);

afterAll(async () => {
  await cx.dispose();
  await orders.dispose();
  if (!update) return;
  const line = ([name, figures]: [string, Figures]) => `    ${JSON.stringify(name)}: ${JSON.stringify(figures)}`;
  const entries = Object.entries(table).map(
    ([op, cases]) => `  ${JSON.stringify(op)}: {\n${Object.entries(cases).map(line).join(',\n')}\n  }`,
  );
  writeFileSync(file, `{\n${entries.join(',\n')}\n}\n`);
});

/** What one case's kernels did; counters that stayed at zero aside. */
async function figuresOf(where: typeof cx, op: string, build: (typeof ops)[number]['cases'][number]): Promise<Figures> {
  const before = where.counters().kernels ?? {};
  await runCase(where, op, build.build(seeded(11)));
  const after = where.counters().kernels ?? {};
  const moved = Object.entries(after).map(([name, value]): [string, number] => [name, value - (before[name] ?? 0)]);
  return Object.fromEntries(moved.filter(([, value]) => value !== 0));
}

test.each(ops)('$op', { timeout: 120_000 }, async ({ op, cases }) => {
  const found: Record<string, Figures> = {};
  for (const c of cases.filter(({ tags }) => tags.includes('small'))) {
    found[c.name] = await figuresOf(cx, op, c);
    expect(await figuresOf(orders, op, c), `${c.name}: in another order`).toEqual(found[c.name]);
  }
  if (update) table[op] = found;
  expect(found).toEqual(table[op]);
  expect(Object.keys(found).length).toBeGreaterThan(0);
});

test('the table has the ops that there are', () => {
  expect(Object.keys(table).sort()).toEqual(ops.map(({ op }) => op).sort());
});
