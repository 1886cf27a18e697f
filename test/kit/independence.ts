// Law 1 as checks of one case in given contexts; each returns complaints, or null when it does not apply.
import type { Context } from '../../lib/tensor/context.js';
import type { Tensor } from '../../lib/tensor/tensor.js';
import type { CaseOperand, OpCases, OpInputs } from './cases.js';
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
} from './run-case.js';

export const hasRows = ({ op }: OpCases) => contractOf(op).liveDim !== null;
export const takesPacked = ({ op }: OpCases) => contractOf(op).operands.some((o) => o.mayBePacked);

/** A plain weight and a packed one give the same bits. */
export async function plainAndPacked(cx: Context, { op }: OpCases, inputs: OpInputs): Promise<string[]> {
  const mayBePacked = contractOf(op)
    .operands.filter((o) => o.mayBePacked)
    .map((o) => o.name);
  const as = async (packed: boolean) => {
    const operands = { ...inputs.operands };
    for (const name of mayBePacked) if (operands[name]) operands[name] = { ...operands[name], packed };
    return liveOnly(op, inputs, await runCase(cx, op, { ...inputs, operands }));
  };
  return differences(await as(false), await as(true));
}

/** Up to `most` of the live rows: the first, the last, and some between. */
function sample(live: number, most: number): number[] {
  const n = Math.min(live, most);
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

/** A row alone, in one context, has the bits that it has among the others, in another: up to `most` rows are tried. */
export async function rowAlone(
  together: Context,
  apart: Context,
  cases: OpCases,
  inputs: OpInputs,
  most = 8,
): Promise<string[] | null> {
  const { op } = cases;
  const rows = rowsOf(op, inputs);
  if (!rows || rows.live === 0) return null;
  const whole = await runCase(together, op, inputs);
  const withRows = rowOperands(op);
  const complaints: string[] = [];
  let checked = 0;
  for (const row of sample(rows.live, most)) {
    const part = cases.alone ? cases.alone(inputs, row) : { inputs: aloneInputs(op, inputs, row), row: 0 };
    if (!part) continue;
    checked++;
    const alone = await runCase(apart, op, part.inputs);
    for (const [name, result] of Object.entries(alone)) {
      if (!whole[name]) complaints.push(`${name} is there for a row alone only`);
      else if (withRows.has(name)) {
        const found = differences({ [name]: resultRow(result, part.row) }, { [name]: resultRow(whole[name], row) });
        complaints.push(...found.map((text) => `row ${row} alone and among ${rows.rows}: ${text}`));
      } else complaints.push(...changes(inputs, alone, whole, name).map((text) => `row ${row}: ${text}`));
    }
  }
  return checked > 0 ? complaints : null;
}

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

/** Rows beyond the live ones are neither read nor written. */
export async function deadRows(cx: Context, { op }: OpCases, given: OpInputs): Promise<string[] | null> {
  const rows = rowsOf(op, given)?.rows;
  if (rows === undefined) return null;
  const inputs = partlyLive(given, rows);
  const live = rowsOf(op, inputs)?.live ?? 0;
  if (live === rows) return null;
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
}

function asElements(tensor: Tensor, bytes: Uint8Array) {
  const make = { f32: Float32Array, bf16: Uint16Array, i32: Int32Array, u8: Uint8Array }[tensor.dtype];
  return new make(bytes.buffer as ArrayBuffer);
}
