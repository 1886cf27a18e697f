// bf16 mode: no further from the f32 goldens than twice what the public code's own bf16 run is, on every instruction set that
// this machine has.
import { describe, expect, test } from 'vitest';
import { shiftedGrid } from '../../lib/denoise/grid.js';
import { planSteps } from '../../lib/denoise/schedule.js';
import * as ops from '../../lib/generated/ops.js';
import { Image } from '../../lib/io/image.js';
import { resizeToRule } from '../../lib/io/resize.js';
import { Bagel } from '../../lib/models/bagel/bagel.js';
import { instructionSets } from '../../lib/tensor/context.js';
import { fullTier } from '../kit/tier.js';
import { trajectory } from './denoise.js';
import { bytes, floats, json, modelFolder, relativeL2, tensors } from './golden.js';

// scalar and the software models take minutes
const full = fullTier(40, 'scalar and the software models');
const available = instructionSets().filter((set) => set.available && (full || (!set.model && set.name !== 'scalar')));
for (const { name } of instructionSets().filter((s) => !s.available && !s.model)) {
  console.log(`skipped: instruction set ${name}, which this machine lacks`);
}

describe.each(available)('$name', ({ name: isa, model: isModel }) => {
  test('logits and the trajectory of a drawing', { timeout: 600_000 }, async () => {
    const bagel = await Bagel.load(modelFolder('trained'), { dtype: 'bf16', isa });
    const { model } = bagel;
    const { cx, weights, config } = model;
    const reference = await tensors('trained/bf16');
    const vqa = json<{ question: string; fed_ids: number[] }>('trained/vqa_0');
    const scene = await tensors('trained/image_scene');
    const source = resizeToRule(Image.fromRaw(bytes(scene, 'image'), 64, 64), config.vaeTransform);
    const within = (ours: ArrayLike<number>, bf16: ArrayLike<number>, golden: ArrayLike<number>, what: string) => {
      const theirs = relativeL2(bf16, golden);
      const mine = relativeL2(ours, golden);
      console.log(`${isa}: ${what} ours ${mine.toExponential(2)}, public bf16 ${theirs.toExponential(2)}`);
      expect(mine, what).toBeLessThanOrEqual(2 * theirs);
    };

    const sequence = model.sequence();
    model.appendVision(sequence, source);
    model.appendTokens(sequence, model.frame(vqa.question));
    let logits: Promise<Float32Array> | undefined;
    model.appendTokens(sequence, vqa.fed_ids.slice(0, 8), (layer, x) => {
      if (layer < config.llm.layers) return;
      const norm = ops.rmsNorm(cx, { x, weight: weights.norm.und, eps: config.llm.eps }).out;
      logits = ops.linear(cx, { x: norm, weight: weights.lmHead, dtype: 'f32' }).data();
    });
    const golden = floats(await tensors('trained/vqa_0'), 'logits_first8');
    within((await logits) as Float32Array, floats(reference, 'logits_first8'), golden, 'logits');

    const meta = json<{ prompt: string }>('trained/gen_t2i_0');
    const file = await tensors('trained/gen_t2i_0');
    const full = model.sequence();
    model.appendTokens(full, model.frame(meta.prompt));
    const noText = model.sequence();
    const plan = planSteps(shiftedGrid(49, 3), {
      text: 4,
      image: 1,
      interval: [0.4, 1],
      renorm: 'global',
      renormMin: 0,
    });
    const noise = floats(file, 'noise');
    const grid = { rows: 8, columns: 8 };
    // a model of instructions takes a second for a step
    const some = isModel ? plan.slice(0, 10) : plan;
    const seen = await trajectory(model, grid, { full, noText }, some, { noise, sharedImage: true });
    const first = noise.map((v, i) => (v - (seen[0]?.[i] as number)) / -(plan[0]?.q as number));
    within(first, floats(reference, 'gen_v_first'), floats(file, 'v_first'), 'first velocity');
    if (!isModel)
      within(seen.at(-1) as Float32Array, floats(reference, 'gen_final'), floats(file, 'final'), 'final latents');
    const width = noise.length;
    for (const i of isModel ? [10] : [10, 25, 40]) {
      const at = (f: Float32Array) => f.subarray(i * width, (i + 1) * width);
      within(
        seen[i - 1] as Float32Array,
        at(floats(reference, 'gen_x')),
        at(floats(file, 'x')),
        `latents before step ${i}`,
      );
    }
    await bagel.dispose();
  });
});
