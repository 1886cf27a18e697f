// The software models of instructions, against the real ones where the machine has them.
import { expect, test } from 'vitest';
import * as ops from '../../lib/generated/ops.js';
import { Context, instructionSets } from '../../lib/tensor/context.js';
import { fromNumbers } from '../../lib/tensor/dtype.js';
import { seeded } from '../kit/cases.js';

const sets = instructionSets();
const models = sets.filter((set) => set.model).map(({ name }) => ({ model: name, real: name.replace(/-model$/, '') }));

test.for(models)('$model multiplies as $real does, bit for bit', async ({ model, real }, { skip }) => {
  if (!sets.some((set) => set.name === real && set.available)) {
    console.log(`skipped: ${real} is not available on this machine, so its model is checked against the oracle only`);
    skip();
  }
  const product = async (isa: string) => {
    const cx = await Context.create({ device: 'cpu', isa, threads: 1 });
    const rng = seeded(3);
    // exponents over a wide range, so that every rounding of the accumulation shows
    const values = (count: number) =>
      fromNumbers(
        'bf16',
        Float64Array.from({ length: count }, () => (2 * rng() - 1) * 2 ** Math.floor(20 * rng() - 10)),
      );
    const x = cx.tensor('bf16', [37, 333], values(37 * 333));
    const weight = cx.tensor('bf16', [83, 333], values(83 * 333));
    const out = await ops.linear(cx, { x, weight, dtype: 'f32' }).data();
    await cx.dispose();
    return out;
  };
  const ours = await product(model);
  expect(ours).toEqual(await product(real));
  expect(ours).not.toEqual(await product('avx512')); // so the comparison can fail
});
