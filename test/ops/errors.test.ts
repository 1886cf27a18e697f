// Every op refuses what its contract does not allow: at the call, with the right code, op and operand, and the context goes on.
import { afterAll, describe, expect, test } from 'vitest';
import { HyperBagelError } from '../../lib/errors.js';
import type { AttributeContract, OpContract, OperandContract } from '../../lib/native/addon.js';
import { type AttributeMap, Context, type OperandMap, opContracts } from '../../lib/tensor/context.js';
import { BYTES, DTYPES, type DType } from '../../lib/tensor/dtype.js';
import type { Tensor } from '../../lib/tensor/tensor.js';
import { allCases } from '../kit/all-cases.js';
import { type OpCase, type OpInputs, seeded, size } from '../kit/cases.js';
import { differences, liveOnly, runCase, uploadAll } from '../kit/run-case.js';

const [cx, stranger] = [
  await Context.create({ device: 'cpu', threads: 1 }),
  await Context.create({ device: 'cpu', threads: 1 }),
];
afterAll(async () => {
  await cx.dispose();
  await stranger.dispose();
});

const all = await allCases();

/** A call that must be refused. */
interface Bad {
  what: string;
  operands: OperandMap;
  attributes: AttributeMap;
  code: string;
  operand: string;
  /** What `got` must say; for mistakes that another check would also catch. */
  got?: string;
}

/** A call that is in order, and what there is to change in it. */
interface Good {
  contract: OpContract;
  operands: Record<string, Tensor>;
  attributes: AttributeMap;
  /** Input operands that are there, in contract order. */
  present: OperandContract[];
}

/** A tensor of zeros that belongs to the good call's context. */
const blank = (dtype: DType, shape: readonly number[]) => cx.zeros(dtype, shape);

/** The dims of an operand, or null when it takes any shape. */
const dimsOf = (o: OperandContract) => (o.dims === '*' ? null : o.dims.split(' ').filter((d) => d !== ''));

/** The first of the present operands, in contract order, that contradicts an earlier one once `changed` is changed. */
function blamed(present: OperandContract[], changed: OperandContract, shares: (o: OperandContract) => boolean) {
  const holders = present.filter((o) => o === changed || shares(o));
  if (holders.length < 2) return undefined;
  return holders[0] === changed ? (holders[1] as OperandContract) : changed;
}

/** A good call with one operand replaced, added or (undefined) left out. */
const put = (g: Good, name: string, tensor: Tensor | undefined) => ({
  operands: { ...g.operands, [name]: tensor },
  attributes: g.attributes,
});

function* badDtypes(g: Good): Generator<Bad> {
  for (const o of g.present) {
    const was = g.operands[o.name] as Tensor;
    for (const dtype of DTYPES.filter((d) => d !== was.dtype)) {
      const call = put(g, o.name, blank(dtype, was.shape));
      if (!o.dtypes.includes(dtype)) {
        yield { what: `${o.name} as ${dtype}`, ...call, code: 'BAD_DTYPE', operand: o.name };
        continue;
      }
      const victim = o.type === null ? undefined : blamed(g.present, o, (other) => other.type === o.type);
      if (victim) {
        yield { what: `${o.name} as ${dtype} beside others`, ...call, code: 'BAD_DTYPE', operand: victim.name };
      }
    }
  }
}

function* badShapes(g: Good): Generator<Bad> {
  for (const o of g.present) {
    const { dtype, shape } = g.operands[o.name] as Tensor;
    const dims = dimsOf(o);
    if (!dims) continue;
    const bad = (what: string, changed: readonly number[], victim = o): Bad => ({
      what: `${o.name} ${what}`,
      ...put(g, o.name, blank(dtype, changed)),
      code: 'BAD_SHAPE',
      operand: victim.name,
    });
    yield bad('with a dim too many', [...shape, 1]);
    yield bad('with a dim too few', shape.slice(1));
    for (const [i, dim] of dims.entries()) {
      const larger = shape.map((n, j) => (j === i ? n + 1 : n));
      if (/^\d/.test(dim)) yield bad(`[${o.dims}] with ${larger[i]} at ${i}`, larger);
      const victim = blamed(g.present, o, (other) => dimsOf(other)?.includes(dim) ?? false);
      if (victim && !/^\d/.test(dim)) yield bad(`with another ${dim}`, larger, victim);
    }
  }
}

function* badHandles(g: Good): Generator<Bad> {
  for (const o of g.present) {
    const { dtype, shape } = g.operands[o.name] as Tensor;
    const foreign = stranger.zeros(dtype, shape);
    const dead = blank(dtype, shape);
    dead.dispose();
    const bad = (what: string, tensor: Tensor, code: string): Bad => ({
      what: `${o.name} ${what}`,
      ...put(g, o.name, tensor),
      code,
      operand: o.name,
    });
    yield bad('of another context', foreign, 'BAD_DEVICE');
    yield bad('disposed', dead, 'DISPOSED');
    yield bad('that is no tensor', new Float32Array(size(shape)) as unknown as Tensor, 'BAD_OPTION');
    yield bad('that is a number', 1 as unknown as Tensor, 'BAD_OPTION');
    if (!o.mayBePacked && (dtype === 'f32' || dtype === 'bf16')) {
      const packed = cx.call('pack_weight', { weight: blank(dtype, [16, 32]) }).out as Tensor;
      yield { ...bad('packed', packed, 'BAD_SHAPE'), got: 'a packed weight' };
    }
    if (!o.optional) yield { ...bad('missing', dead, 'BAD_SHAPE'), ...put(g, o.name, undefined), got: 'no tensor' };
  }
}

function* badNames(g: Good): Generator<Bad> {
  const some = Object.values(g.operands)[0] as Tensor;
  yield { what: 'an unknown operand', ...put(g, 'other', some), code: 'BAD_OPTION', operand: 'other' };
  for (const { name } of g.contract.operands.filter((o) => o.role === 'out')) {
    yield { what: `${name}, an output, as an operand`, ...put(g, name, some), code: 'BAD_OPTION', operand: name };
  }
  const attributes = { ...g.attributes, other: 1 };
  yield { what: 'an unknown attribute', operands: g.operands, attributes, code: 'BAD_OPTION', operand: 'other' };
}

/** Values that an attribute refuses. */
function wrongValues(a: AttributeContract): unknown[] {
  const never = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 'no such value', null, true, {}];
  if (a.kind === 'choice') return [...never, -1, a.choices.length, 0.5, `${a.choices[0]} `];
  if (a.kind === 'dtype') return [...never, -1, DTYPES.length, 0.5, 'f64'];
  const beyond = (limit: number, way: number) => limit + way * Math.max(1, Math.abs(limit));
  const outside = [beyond(a.min, -1), beyond(a.max, 1)];
  if (a.kind === 'real') return [...never, ...outside, '0'];
  return [...never, ...outside, a.min - 1, a.min + 0.5, ...(a.max < 2 ** 52 ? [a.max + 1, a.max - 0.5] : []), '1'];
}

function* badAttributes(g: Good): Generator<Bad> {
  for (const a of g.contract.attributes) {
    const bad = (what: string, value: unknown): Bad => ({
      what: `${a.name} ${what}`,
      operands: g.operands,
      attributes: { ...g.attributes, [a.name]: value } as AttributeMap,
      code: 'BAD_OPTION',
      operand: a.name,
    });
    for (const value of wrongValues(a)) {
      yield bad(typeof value === 'string' ? `"${value}"` : `${JSON.stringify(value)} (${value})`, value);
    }
    if (a.fallback === null) yield bad('missing', undefined);
    if (a.kind !== 'dtype') continue;
    // a dtype that exists and that the output cannot have
    const out = g.contract.operands.find((o) => o.role === 'out' && o.type === 'O') as OperandContract;
    for (const dtype of DTYPES.filter((d) => !out.dtypes.includes(d))) {
      const holder = g.present.find((o) => o.type === 'O') ?? out;
      yield { ...bad(dtype, dtype), code: 'BAD_DTYPE', operand: holder.name };
    }
  }
}

/** Runs a call that must fail and says what is wrong with how it did. */
function complaintsOf(op: string, bad: Bad): string[] {
  try {
    cx.call(op, bad.operands, bad.attributes);
  } catch (error) {
    if (!(error instanceof HyperBagelError)) return [`${bad.what}: threw ${error}`];
    const got = { code: error.code, op: error.op, operand: error.operand, got: bad.got && error.got };
    const want = { code: bad.code, op, operand: bad.operand, got: bad.got };
    const complaints = JSON.stringify(got) === JSON.stringify(want) ? [] : [`${JSON.stringify(got)}: ${error.message}`];
    if (!error.message.includes(op)) complaints.push(`the message does not name the op: ${error.message}`);
    if (!error.message.includes(bad.operand)) complaints.push(`the message does not name it: ${error.message}`);
    return complaints.map((text) => `${bad.what}: ${text}, expected ${JSON.stringify(want)}`);
  }
  return [`${bad.what}: nothing was thrown`];
}

/** Few small cases of an op that together have every input operand. */
function covering(cases: OpCase[], wanted: string[]): { cases: OpInputs[]; missing: string[] } {
  const missing = new Set(wanted);
  const chosen: OpInputs[] = [];
  const bytes = (inputs: OpInputs) =>
    Object.values(inputs.operands).reduce((sum, o) => sum + size(o.shape) * BYTES[o.dtype], 0);
  const built = cases.filter((c) => !c.tags.includes('perf')).map((c) => c.build(seeded(3)));
  const filled = built.filter(({ operands }) => Object.values(operands).every((o) => size(o.shape) > 0));
  for (const inputs of filled.sort((a, b) => bytes(a) - bytes(b))) {
    const fresh = Object.keys(inputs.operands).filter((name) => missing.delete(name));
    if (chosen.length === 0 || fresh.length > 0) chosen.push(inputs);
  }
  return { cases: chosen, missing: [...missing] };
}

let refused = 0;
afterAll(() => console.log(`${refused} bad calls refused`));

describe('every op refuses bad calls', () => {
  test('the cases are those of all ops', () => {
    expect(all.map(({ op }) => op).sort()).toEqual([...opContracts().keys()].sort());
  });

  test.each(all.map((cases) => [cases.op, cases] as const))('%s', async (op, { cases }) => {
    const contract = opContracts().get(op)?.contract as OpContract;
    const inputs = contract.operands.filter((o) => o.role !== 'out');
    const chosen = covering(
      cases,
      inputs.map((o) => o.name),
    );
    expect(chosen.missing, 'operands without a small case').toEqual([]);
    const complaints: string[] = [];
    for (const good of chosen.cases) {
      const before = liveOnly(op, good, await runCase(cx, op, good));
      cx.scope(() => {
        const operands = uploadAll(cx, good);
        const attributes = op === 'emit' ? { ...good.attributes, channel: 0 } : good.attributes;
        const g: Good = { contract, operands, attributes, present: inputs.filter((o) => operands[o.name]) };
        for (const make of [badDtypes, badShapes, badHandles, badNames, badAttributes]) {
          for (const bad of make(g)) {
            refused++;
            complaints.push(...complaintsOf(op, bad));
          }
        }
      });
      await cx.sync(); // nothing that was refused had been queued
      complaints.push(...differences(before, liveOnly(op, good, await runCase(cx, op, good))).map((d) => `then ${d}`));
    }
    expect(complaints).toEqual([]);
  });
});
