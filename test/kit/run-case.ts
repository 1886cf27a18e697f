import type { Context } from '../../lib/tensor/context.js';
import { opContracts } from '../../lib/tensor/context.js';
import { type DType, fromBf16, fromNumbers } from '../../lib/tensor/dtype.js';
import type { Tensor } from '../../lib/tensor/tensor.js';
import type { CaseOperand, OpInputs } from './cases.js';

export type Elements = Float32Array | Uint16Array | Int32Array | Uint8Array;

/** What an operand held after a call: bits, and the numbers that they mean. */
export interface Result {
  dtype: DType;
  shape: readonly number[];
  bits: Elements;
}

export type Results = Record<string, Result>;

export function contractOf(op: string) {
  const entry = opContracts().get(op);
  if (!entry) throw new Error(`no op ${op}`);
  return entry.contract;
}

/** Operands whose first dim is the op's live dim: those that have rows. */
export function rowOperands(op: string): Set<string> {
  const { liveDim, operands } = contractOf(op);
  return new Set(operands.filter((o) => liveDim !== null && o.dims.split(' ')[0] === liveDim).map((o) => o.name));
}

export function numbersOf({ dtype, bits }: Result): Float64Array {
  return Float64Array.from(dtype === 'bf16' ? fromBf16(bits as Uint16Array) : bits);
}

export function bytesOf(bits: Elements): Buffer {
  return Buffer.from(bits.buffer, bits.byteOffset, bits.byteLength);
}

/** A case's operand in its tensor's elements. */
export function elementsOf({ dtype, data }: CaseOperand): Elements {
  return fromNumbers(dtype, data);
}

function upload(cx: Context, operand: CaseOperand): Tensor {
  const plain = cx.tensor(operand.dtype, operand.shape, elementsOf(operand));
  return operand.packed ? (cx.call('pack_weight', { weight: plain }).out as Tensor) : plain;
}

/** The operands of a case as tensors of a context. */
export function uploadAll(cx: Context, inputs: OpInputs): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(inputs.operands).map(([name, operand]) => [name, upload(cx, operand)]));
}

async function read(tensor: Tensor): Promise<Result> {
  return { dtype: tensor.dtype, shape: tensor.shape, bits: await tensor.data() };
}

/** Reads the Out and the InOut operands of a call. */
export async function readAll(
  op: string,
  operands: Record<string, Tensor>,
  outs: Record<string, Tensor>,
): Promise<Results> {
  const results: Results = {};
  for (const { name, role } of contractOf(op).operands) {
    const tensor = role === 'out' ? outs[name] : role === 'inout' ? operands[name] : undefined;
    if (tensor) results[name] = await read(tensor);
  }
  return results;
}

/**
 * Runs one case and reads what it wrote: Out and InOut operands by name. For `emit` that is the `record` that came out of the
 * ring, if one did.
 */
export async function runCase(cx: Context, op: string, inputs: OpInputs): Promise<Results> {
  const operands = uploadAll(cx, inputs);
  let results: Results;
  let outs: Record<string, Tensor> = {};
  if (op === 'emit') {
    const channel = cx.openChannel();
    cx.call(op, operands, { ...inputs.attributes, channel });
    await cx.sync();
    const records = await cx.receive(channel, 0);
    cx.closeChannel(channel);
    if (records.length > 1) throw new Error(`${records.length} records of one emit`);
    const { dtype, shape } = operands.payload as Tensor;
    const make = { f32: Float32Array, bf16: Uint16Array, i32: Int32Array, u8: Uint8Array }[dtype];
    results = records[0] ? { record: { dtype, shape, bits: new make(records[0]) } } : {};
  } else {
    outs = cx.call(op, operands, inputs.attributes);
    results = await readAll(op, operands, outs);
  }
  for (const tensor of [...Object.values(operands), ...Object.values(outs)]) tensor.dispose();
  return results;
}

/** Results without their dead rows, which hold whatever their memory held before. */
export function liveOnly(op: string, inputs: OpInputs, results: Results): Results {
  const withRows = rowOperands(op);
  const live = rowsOf(op, inputs)?.live;
  if (live === undefined) return results;
  return Object.fromEntries(
    Object.entries(results).map(([name, r]): [string, Result] => {
      if (!withRows.has(name)) return [name, r];
      const width = r.bits.length / Math.max(1, r.shape[0] ?? 1);
      return [name, { ...r, shape: [live, ...r.shape.slice(1)], bits: r.bits.slice(0, live * width) }];
    }),
  );
}

/** Row `row` of a result. */
export function resultRow(result: Result, row: number): Result {
  const width = result.bits.length / Math.max(1, result.shape[0] ?? 1);
  return { ...result, shape: [1, ...result.shape.slice(1)], bits: result.bits.slice(row * width, (row + 1) * width) };
}

/** Names of the results whose bits differ, with the first element that does. */
export function differences(a: Results, b: Results): string[] {
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...names].flatMap((name) => {
    const [x, y] = [a[name], b[name]];
    if (!x || !y) return [`${name} is in one result only`];
    if (x.shape.join() !== y.shape.join()) return [`${name} is [${x.shape}] and [${y.shape}]`];
    if (bytesOf(x.bits).equals(bytesOf(y.bits))) return [];
    const at = firstDifference(x.bits, y.bits);
    return [`${name}[${coordinates(at, x.shape)}] is ${numbersOf(x)[at]} and ${numbersOf(y)[at]}`];
  });
}

export type Integers = Uint32Array | Uint16Array | Uint8Array;

/** The bits of elements as integers, so that NaN equals itself and 0 differs from -0. */
export function integers(bits: Elements): Integers {
  const make = { 4: Uint32Array, 2: Uint16Array, 1: Uint8Array }[bits.BYTES_PER_ELEMENT] as typeof Uint32Array;
  return new make(bits.buffer as ArrayBuffer, bits.byteOffset, bits.length);
}

/** Index of the first element whose bits differ, or -1. */
export function firstDifference(x: Elements, y: Elements): number {
  const [p, q] = [integers(x), integers(y)];
  return p.findIndex((v, i) => v !== q[i]);
}

/** Index along each dim of an element. */
export function coordinates(index: number, shape: readonly number[]): number[] {
  let rest = index;
  return shape
    .map((_, i) => {
      const dim = shape[shape.length - 1 - i] as number;
      const at = rest % dim;
      rest = Math.floor(rest / dim);
      return at;
    })
    .reverse();
}

/** The rows [start, end) of an operand. */
export function cut(operand: CaseOperand, start: number, end: number): CaseOperand {
  const width = operand.data.length / Math.max(1, operand.shape[0] as number);
  return {
    ...operand,
    shape: [end - start, ...operand.shape.slice(1)],
    data: operand.data.slice(start * width, end * width),
  };
}

/** A row's inputs alone: operands with rows cut to it, one live row, the split moved. */
export function aloneInputs(op: string, inputs: OpInputs, row: number): OpInputs {
  const withRows = rowOperands(op);
  const operands = Object.fromEntries(
    Object.entries(inputs.operands).map(([name, operand]): [string, CaseOperand] => {
      if (withRows.has(name)) return [name, cut(operand, row, row + 1)];
      if (name === 'rows') return [name, { ...operand, data: Int32Array.of(1) }];
      if (name === 'split') return [name, { ...operand, data: Int32Array.of(row < Number(operand.data[0]) ? 1 : 0) }];
      return [name, operand];
    }),
  );
  return { operands, attributes: inputs.attributes };
}

/** Rows of a case along the op's live dim, and how many of them are live; null for an op without such a dim. */
export function rowsOf(op: string, inputs: OpInputs): { rows: number; live: number } | null {
  const name = [...rowOperands(op)].find((n) => inputs.operands[n]);
  const rows = name === undefined ? undefined : inputs.operands[name]?.shape[0];
  if (rows === undefined) return null;
  const count = inputs.operands.rows ? Number(inputs.operands.rows.data[0]) : rows;
  return { rows, live: Math.max(0, Math.min(rows, count)) };
}
