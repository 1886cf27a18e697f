// Law 1: for the same instruction set a row's bits depend only on that row and its context: not on the thread count, on the rows
// beside it, on what lies beyond the live rows, or on the layout of a weight. And dead rows are never written.
import { afterAll, describe, expect, test } from 'vitest';
import { Context, instructionSets } from '../../lib/tensor/context.js';
import type { Tensor } from '../../lib/tensor/tensor.js';
import { allCases } from '../kit/all-cases.js';
import type { CaseOperand, OpCases, OpInputs } from '../kit/cases.js';
import { seeded } from '../kit/cases.js';
import {
  aloneInputs,
  contractOf,
  differences,
  elementsOf,
  firstDifference,
  type Integers,
  integers,
  liveOnly,
  type Results,
  readAll,
  resultRow,
  rowOperands,
  rowsOf,
  runCase,
  uploadAll,
} from '../kit/run-case.js';

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

const hasRows = ({ op }: OpCases) => contractOf(op).liveDim !== null;
const takesPacked = ({ op }: OpCases) => contractOf(op).operands.some((o) => o.mayBePacked);

/** Cases whose ops are large enough to be shared out among threads; the bench's, where an op has no other. */
async function runsOnFour({ op }: OpCases, inputs: OpInputs, isa: string): Promise<boolean> {
  const cx = four.get(isa) as Context;
  cx.profileStart();
  await runCase(cx, op, inputs);
  return cx.profileStop().some((event) => event.op === op && event.threads > 1);
}

describe('1 thread and 4 threads give the same bits', () => {
  const shared = new Set<string>();
  const compareThreads = async (cases: OpCases, inputs: OpInputs, isa: string) => {
    if (await runsOnFour(cases, inputs, isa)) shared.add(cases.op);
    const a = await runCase(one.get(isa) as Context, cases.op, inputs);
    const b = await runCase(four.get(isa) as Context, cases.op, inputs);
    return differences(liveOnly(cases.op, inputs, a), liveOnly(cases.op, inputs, b));
  };
  forCases(() => true, compareThreads);

  // A case that the executor runs alone says nothing about threads.
  test('in ops that are shared out among threads', { timeout: 300_000 }, async () => {
    const best = sets[0]?.name as string;
    const complaints: string[] = [];
    for (const cases of ops.filter(({ op }) => !shared.has(op))) {
      for (const c of cases.cases.filter(({ tags }) => tags.includes('perf'))) {
        const found = await compareThreads(cases, c.build(seeded(11)), best);
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
  forCases(takesPacked, async ({ op }, inputs, isa) => {
    const mayBePacked = contractOf(op)
      .operands.filter((o) => o.mayBePacked)
      .map((o) => o.name);
    const as = async (packed: boolean) => {
      const operands = { ...inputs.operands };
      for (const name of mayBePacked) if (operands[name]) operands[name] = { ...operands[name], packed };
      return liveOnly(op, inputs, await runCase(four.get(isa) as Context, op, { ...inputs, operands }));
    };
    return differences(await as(false), await as(true));
  });
});

/** Up to eight of the live rows: the first, the last, and some between. */
function sample(live: number): number[] {
  const n = Math.min(live, 8);
  return [...new Set(Array.from({ length: n }, (_, i) => (n > 1 ? Math.round((i * (live - 1)) / (n - 1)) : 0)))];
}

/** What a call changed of an InOut operand must be so in the call with all rows, too. */
function changes(before: OpInputs, alone: Results, whole: Results, name: string): string[] {
  const [a, w] = [alone[name], whole[name]];
  if (!a || !w) return [`${name} is missing`];
  const [was, now, among] = [elementsOf(before.operands[name] as CaseOperand), a.bits, w.bits].map(integers);
  const at = (now as Integers).findIndex((v, i) => v !== (was as Integers)[i] && v !== (among as Integers)[i]);
  return at < 0 ? [] : [`${name} differs at ${at}`];
}

describe('a row alone has the bits that it has among the others', () => {
  forCases(hasRows, async (cases, inputs, isa) => {
    const { op } = cases;
    const rows = rowsOf(op, inputs);
    if (!rows || rows.live === 0) return null;
    const cx = one.get(isa) as Context;
    const whole = await runCase(four.get(isa) as Context, op, inputs);
    const withRows = rowOperands(op);
    const complaints: string[] = [];
    let checked = 0;
    for (const row of sample(rows.live)) {
      const part = cases.alone ? cases.alone(inputs, row) : { inputs: aloneInputs(op, inputs, row), row: 0 };
      if (!part) continue;
      checked++;
      const alone = await runCase(cx, op, part.inputs);
      for (const [name, result] of Object.entries(alone)) {
        if (!whole[name]) complaints.push(`${name} is there for a row alone only`);
        else if (withRows.has(name)) {
          const found = differences({ [name]: resultRow(result, part.row) }, { [name]: resultRow(whole[name], row) });
          complaints.push(...found.map((text) => `row ${row} alone and among ${rows.rows}: ${text}`));
        } else complaints.push(...changes(inputs, alone, whole, name).map((text) => `row ${row}: ${text}`));
      }
    }
    return checked > 0 ? complaints : null;
  });
});

/** The case with half of its rows live, unless it says how many itself. */
function partlyLive(inputs: OpInputs, rows: number): OpInputs {
  if (inputs.operands.rows) return inputs;
  const live: CaseOperand = { dtype: 'i32', shape: [1], data: Int32Array.of(Math.floor(rows / 2)) };
  return { ...inputs, operands: { ...inputs.operands, rows: live } };
}

/** NaN, huge indices and 255 in every row at or beyond `live`. */
function poisoned(op: string, inputs: OpInputs, live: number): OpInputs {
  const withRows = rowOperands(op);
  const operands = Object.fromEntries(
    Object.entries(inputs.operands).map(([name, o]): [string, CaseOperand] => {
      if (!withRows.has(name)) return [name, o];
      const data = o.data.slice();
      const width = data.length / Math.max(1, o.shape[0] as number);
      data.fill(o.dtype === 'i32' ? 0x7fffffff : o.dtype === 'u8' ? 255 : Number.NaN, live * width);
      return [name, { ...o, data }];
    }),
  );
  return { ...inputs, operands };
}

describe('rows beyond the live ones are neither read nor written', () => {
  forCases(hasRows, async ({ op }, given, isa) => {
    const rows = rowsOf(op, given)?.rows;
    if (rows === undefined) return null;
    const inputs = partlyLive(given, rows);
    const live = rowsOf(op, inputs)?.live ?? 0;
    if (live === rows) return null;
    const cx = four.get(isa) as Context;
    await cx.sync(); // drops flags of earlier calls
    const clean = liveOnly(op, inputs, await runCase(cx, op, inputs));
    const cleanFlags = await cx.sync();

    // A program's outputs can be written before it runs: what the op does not write keeps the sentinel.
    const operands = uploadAll(cx, poisoned(op, inputs, live));
    const program = cx.record(() => cx.call(op, operands, inputs.attributes));
    const outs: Record<string, Tensor> = program.outputs;
    const sentinels = new Map(
      Object.entries(outs).map(([name, tensor]) => {
        const bits = new Uint8Array(tensor.bytes).fill(0xa5);
        return [name, bits];
      }),
    );
    for (const [name, tensor] of Object.entries(outs))
      tensor.write(asElements(tensor, sentinels.get(name) as Uint8Array));
    program.run();
    const dirty = await readAll(op, operands, outs);
    const dirtyFlags = await cx.sync();

    const complaints = differences(clean, liveOnly(op, inputs, dirty)).map(
      (text) => `poison changes a live row: ${text}`,
    );
    if (JSON.stringify(cleanFlags) !== JSON.stringify(dirtyFlags)) complaints.push('dead rows raise a flag');
    const withRows = rowOperands(op);
    for (const [name, { bits, shape }] of Object.entries(dirty)) {
      const sentinel = sentinels.get(name);
      if (!sentinel || !withRows.has(name)) continue;
      const from = live * (bits.length / Math.max(1, shape[0] as number));
      const kept = new (bits.constructor as typeof Float32Array)(sentinel.buffer as ArrayBuffer) as typeof bits;
      const at = firstDifference(bits.subarray(from), kept.subarray(from));
      if (at >= 0) complaints.push(`${name} is written at element ${from + at}, beyond ${live} live rows`);
    }
    program.dispose();
    for (const tensor of [...Object.values(operands), ...Object.values(outs)]) tensor.dispose();
    return complaints;
  });
});

function asElements(tensor: Tensor, bytes: Uint8Array) {
  const make = { f32: Float32Array, bf16: Uint16Array, i32: Int32Array, u8: Uint8Array }[tensor.dtype];
  return new make(bytes.buffer as ArrayBuffer);
}
