// Every op in every state of its context and of its operands: the same bits where it runs, the right code where it does not, and the
// context goes on.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { HyperBagelError } from '../../lib/errors.js';
import { Activity, Context } from '../../lib/tensor/context.js';
import type { Tensor } from '../../lib/tensor/tensor.js';
import { allCases } from '../kit/all-cases.js';
import { seeded } from '../kit/cases.js';
import { contractOf, differences, liveOnly, type Results, readAll, runCase, uploadAll } from '../kit/run-case.js';
import { fail, occupy } from './matrix/kit.js';

let cx: Context;
let gone: Context;
let foreign: Context;
beforeAll(async () => {
  const make = () => Context.create({ device: 'cpu', threads: 1 });
  [cx, gone, foreign] = await Promise.all([make(), make(), make()]);
  await gone.dispose();
});
afterAll(async () => {
  await cx.dispose();
  await foreign.dispose();
});

const cancelled = new Activity();
cancelled.cancel();

type Tensors = Record<string, Tensor>;

/** `CODE of operand`. */
async function refusal(work: () => unknown): Promise<string> {
  try {
    await work();
  } catch (error) {
    if (error instanceof HyperBagelError) return error.operand ? `${error.code} of ${error.operand}` : error.code;
    throw error;
  }
  return 'it ran';
}

const cases = await allCases();

test.each(cases.map((each) => [each.op, each] as const))('%s', async (op, { cases: list }) => {
  const small = list.find(({ tags }) => tags.includes('small')) ?? list[0];
  if (!small) throw new Error(`no case of ${op}`);
  const inputs = small.build(seeded(3));
  const attributes = op === 'emit' ? { ...inputs.attributes, channel: cx.openChannel() } : inputs.attributes;
  const expected = liveOnly(op, inputs, await runCase(cx, op, inputs));
  const same = (results: Results) => expect(differences(expected, liveOnly(op, inputs, results))).toEqual([]);

  occupy(cx);
  same(await runCase(cx, op, inputs));
  expect(cx.counters().queued).toBe(0);

  await fail(cx);
  // who syncs is told of what failed before; the op itself runs
  await cx.sync().catch(() => {});
  same(await runCase(cx, op, inputs));

  if (op !== 'emit') {
    const operands = uploadAll(cx, inputs);
    const program = cx.record(() => cx.call(op, operands, attributes));
    program.run();
    same(await readAll(op, operands, program.outputs));
    program.dispose();
  }

  const operands = uploadAll(cx, inputs);
  expect(await refusal(() => gone.call(op, operands, attributes))).toBe('DISPOSED');
  for (const [name, operand] of Object.entries(inputs.operands)) {
    const others: Tensors = uploadAll(cx, inputs);
    others[name]?.dispose();
    expect(await refusal(() => cx.call(op, others, attributes))).toBe(`DISPOSED of ${name}`);
    const strange = {
      ...operands,
      [name]: uploadAll(foreign, { operands: { [name]: operand }, attributes: {} })[name],
    };
    expect(await refusal(() => cx.call(op, strange, attributes))).toBe(`BAD_DEVICE of ${name}`);
    const { role } = contractOf(op).operands.find((o) => o.name === name) ?? { role: 'in' };
    if (role === 'out' || operand.shape.includes(0)) continue;
    // one whose own work was cancelled: the op fails with that, and so does what it should have written
    const failed: Tensors = cx.within(cancelled, () =>
      uploadAll(cx, { operands: { [name]: operand }, attributes: {} }),
    );
    await cx.sync(cancelled).catch(() => {});
    const outs = Object.values(cx.call(op, { ...uploadAll(cx, inputs), ...failed }, attributes));
    for (const out of outs) expect(await refusal(() => out.data())).toBe('CANCELLED');
    expect(await refusal(() => cx.sync())).toBe('CANCELLED');
    expect(await refusal(() => cx.sync())).toBe('it ran');
  }
  same(await runCase(cx, op, inputs));
});

test('nothing of all that is left', async () => {
  const x = cx.tensor('i32', [1], [7]);
  expect([...(await x.data())]).toEqual([7]);
  expect(cx.counters().queued).toBe(0);
});
