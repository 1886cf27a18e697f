// Parity in f32 with the public implementation, on both golden models: every tensor within relative L2 1e-4, the same greedy
// tokens, the same pixels but for rounding.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PAGE_SLOTS, type Sequence } from '../../lib/cache/pages.js';
import { bagelGrid } from '../../lib/denoise/grid.js';
import type { Renorm } from '../../lib/denoise/guidance.js';
import { planSteps } from '../../lib/denoise/schedule.js';
import * as ops from '../../lib/generated/ops.js';
import { Image } from '../../lib/io/image.js';
import { resizeToRule } from '../../lib/io/resize.js';
import { Bagel } from '../../lib/models/bagel/bagel.js';
import { latentGrid } from '../../lib/models/bagel/config.js';
import { ContextBuilder, releaseBranches } from '../../lib/models/bagel/contexts.js';
import { layerCache } from '../../lib/models/bagel/mot-layer.js';
import type { FloatTensor } from '../../lib/models/bagel/source.js';
import { type TrajectoryOptions, trajectory, unitStep } from './denoise.js';
import { bytes, channelsLast, floats, json, modelFolder, pixelDifference, relativeL2, tensors } from './golden.js';

const TOLERANCE = 1e-4;

interface GenerationJson {
  prompt: string;
  image: string | null;
  params: {
    cfg_text_scale: number;
    cfg_img_scale: number;
    cfg_interval: [number, number];
    timestep_shift: number;
    num_timesteps: number;
    cfg_renorm_min: number;
    cfg_renorm_type: Renorm;
    image_shapes?: [number, number];
  };
  combos: [Renorm, number, number, number][];
  steps: number;
  context_full: { kv_len: number; rope: number };
  context_no_text: { kv_len: number; rope: number };
  context_no_img: { kv_len: number; rope: number };
}

const MODELS = [
  {
    name: 'trained',
    images: ['scene', 'edit_source', 'odd'],
    vqa: [0, 1, 2],
    generations: ['t2i_0', 't2i_1', 'edit_0'],
  },
  { name: 'random-a', images: ['odd', 'big'], vqa: [0], generations: ['t2i', 'edit'] },
] as const;

describe.each(MODELS)('$name', ({ name, images, vqa, generations }) => {
  let bagel: Bagel;
  beforeAll(async () => {
    bagel = await Bagel.load(modelFolder(name), { dtype: 'f32' });
  });
  afterAll(() => bagel.dispose());

  /** Reads tensors that a scope would dispose: queued reads keep them. */
  const collect = () => {
    const reads = new Map<string, Promise<Float32Array>>();
    return { reads, probe: (key: string, value: FloatTensor) => void reads.set(key, value.floats()) };
  };

  const image = async (id: string) => {
    const file = await tensors(`${name}/image_${id}`);
    const [height = 0, width = 0] = file.get('image')?.shape ?? [];
    return { file, source: Image.fromRaw(bytes(file, 'image'), width, height) };
  };

  /** Keys and values of a layer, [tokens, kv heads, head dim], gathered from the pages. */
  const readCache = async (sequence: Sequence, layer: number) => {
    const { model } = bagel;
    const { kvHeads, headDim } = bagel.config.llm;
    const cache = layerCache(model.cache, layer, model.pool.total);
    const keys = await cache.keys.floats();
    const values = await cache.values.floats();
    const size = sequence.length * kvHeads * headDim;
    const out = { key: new Float32Array(size), value: new Float32Array(size) };
    for (let t = 0, i = 0; t < sequence.length; t++) {
      const page = sequence.pages[Math.floor(t / PAGE_SLOTS)] as number;
      const slot = t % PAGE_SLOTS;
      for (let g = 0; g < kvHeads; g++) {
        const head = (page * kvHeads + g) * headDim * PAGE_SLOTS;
        for (let d = 0; d < headDim; d++, i++) {
          out.key[i] = keys[head + d * PAGE_SLOTS + slot] as number;
          out.value[i] = values[head + slot * headDim + d] as number;
        }
      }
    }
    return out;
  };

  test.each(images)('picture %s: vision encoder and autoencoder', async (id) => {
    const { model } = bagel;
    const { file, source } = await image(id);
    const resized = resizeToRule(source, bagel.config.vaeTransform);
    const { reads, probe } = collect();
    const sequence = model.sequence();
    model.appendVision(sequence, resized, probe);
    const grid = { rows: 0, columns: 0 };
    const pixels = model.cx.scope(() => {
      const latent = model.encodeImage(resized, probe);
      probe('latent', latent);
      grid.rows = (latent.shape[0] as number) / bagel.config.latent.patch;
      grid.columns = (latent.shape[1] as number) / bagel.config.latent.patch;
      const tokens = ops.patchify(model.cx, { x: latent, patch: bagel.config.latent.patch });
      return model.decodeLatents(tokens, grid, probe);
    });
    const decoded = await pixels.data();
    for (const [key, read] of reads) {
      const vae = ['moments', 'latent', 'decoded'].includes(key);
      const expected = vae ? channelsLast(file.get(`vae.${key}`) as never) : floats(file, `vit.${key}`);
      expect(relativeL2(await read, expected), key).toBeLessThan(TOLERANCE);
    }
    expect(reads.size).toBe(3 + 4 + bagel.config.vit.layers);
    const difference = pixelDifference(decoded, bytes(file, 'vae.decoded_u8'));
    expect(difference.mean).toBeLessThan(0.5);
    expect(difference.max).toBeLessThanOrEqual(3);
    sequence.release();
  });

  test('text prefill: every layer, norm, logits, keys and values', async () => {
    const { model } = bagel;
    const { cx, weights, config } = model;
    const meta = json<{ ids: number[]; kv_layer: number; text: string }>(`${name}/prefill_text`);
    const file = await tensors(`${name}/prefill_text`);
    expect(model.frame(meta.text)).toEqual(meta.ids);
    const { reads, probe } = collect();
    const sequence = model.sequence();
    model.appendTokens(sequence, meta.ids, (layer, x) => {
      if (layer < config.llm.layers) return probe(`layer${String(layer).padStart(2, '0')}`, x);
      const norm = ops.rmsNorm(cx, { x, weight: weights.norm.und, eps: config.llm.eps }).out;
      probe('norm', norm);
      probe('logits', ops.linear(cx, { x: norm, weight: weights.lmHead, dtype: 'f32' }));
    });
    probe('embed', model.embed(cx.tensor('i32', [meta.ids.length], meta.ids)));
    for (const [key, read] of reads) expect(relativeL2(await read, floats(file, key)), key).toBeLessThan(TOLERANCE);
    expect(reads.size).toBe(config.llm.layers + 3);
    const { key, value } = await readCache(sequence, meta.kv_layer);
    expect(relativeL2(key, floats(file, 'kv.key'))).toBeLessThan(TOLERANCE);
    expect(relativeL2(value, floats(file, 'kv.value'))).toBeLessThan(TOLERANCE);
    sequence.release();
  });

  test.each(vqa)('question %i: cache, logits and greedy answer', async (i) => {
    const { model } = bagel;
    const meta = json<{
      image: string;
      question: string;
      max_length: number;
      kv_layer: number;
      kv_lens: number[];
      ropes: number[];
      fed_ids: number[];
      next_ids: number[];
    }>(`${name}/vqa_${i}`);
    const file = await tensors(`${name}/vqa_${i}`);
    const { source } = await image(meta.image);
    const resized = resizeToRule(source, bagel.config.vaeTransform);
    const sequence = model.sequence();
    model.appendVision(sequence, resized);
    model.appendTokens(sequence, model.frame(meta.question));
    expect([sequence.length, sequence.position]).toEqual([meta.kv_lens[0], meta.ropes[0]]);
    const { key, value } = await readCache(sequence, meta.kv_layer);
    expect(relativeL2(key, floats(file, 'kv_key'))).toBeLessThan(TOLERANCE);
    expect(relativeL2(value, floats(file, 'kv_value'))).toBeLessThan(TOLERANCE);

    // the recorded ids, fed at once: logits of the first steps
    const { cx, weights, config } = model;
    const { reads, probe } = collect();
    model.appendTokens(sequence, meta.fed_ids.slice(0, 8), (layer, x) => {
      if (layer < config.llm.layers) return;
      const norm = ops.rmsNorm(cx, { x, weight: weights.norm.und, eps: config.llm.eps }).out;
      probe('logits', ops.linear(cx, { x: norm, weight: weights.lmHead, dtype: 'f32' }));
    });
    expect(relativeL2((await reads.get('logits')) as Float32Array, floats(file, 'logits_first8'))).toBeLessThan(
      TOLERANCE,
    );
    sequence.release();

    const answer = await bagel.ask(meta.question, { images: [source], maxTokens: meta.next_ids.length });
    const stop = meta.next_ids.indexOf(model.special.eos);
    const expected = stop < 0 ? meta.next_ids : meta.next_ids.slice(0, stop);
    expect(answer.tokens).toEqual(expected);
    expect(answer.finishReason).toBe(stop < 0 ? 'length' : 'stop');
    expect(answer.promptTokens).toBe(meta.kv_lens[0]);
  });

  test.each(generations)('%s: one step in three contexts, every renorm', async (id) => {
    const { model } = bagel;
    const { cx } = model;
    const meta = json<GenerationJson>(`${name}/gen_${id}`);
    const file = await tensors(`${name}/gen_${id}`);
    const source = meta.image === null ? undefined : (await image(meta.image)).source;
    const resized = source && resizeToRule(source, bagel.config.vaeTransform);
    const ids = model.frame(meta.prompt);
    const full = model.sequence();
    if (resized) {
      model.appendLatents(full, resized);
      model.appendVision(full, resized);
    }
    const noText = full.fork();
    model.appendTokens(full, ids);
    const noImage = model.sequence();
    model.appendTokens(noImage, ids);
    const contexts = { full, noText, noImage };
    const expected = { full: meta.context_full, noText: meta.context_no_text, noImage: meta.context_no_img };
    for (const key of ['full', 'noText', 'noImage'] as const) {
      expect({ kv_len: contexts[key].length, rope: contexts[key].position }, key).toEqual(expected[key]);
    }

    const [height = 64, width = 64] = resized ? [resized.height, resized.width] : (meta.params.image_shapes ?? []);
    const grid = latentGrid(bagel.config, { width, height });
    const x = floats(file, 'step.x');
    const time = floats(file, 'step.t')[0] as number;
    // x' = x - v, so that the update shows the guided velocity
    const velocity = async (branches: typeof contexts, ...rest: [number?, number?, TrajectoryOptions?]) => {
      const [text, imageScale, options] = rest;
      const [after] = await trajectory(model, grid, branches, [unitStep(time, text, imageScale)], {
        noise: x,
        ...options,
      });
      return x.map((value, i) => value - (after?.[i] as number));
    };
    for (const [renorm, text, imageScale, renormMin] of meta.combos) {
      const key = `step.cfg.${renorm}.${text}.${imageScale}.${renormMin}`;
      const guided = await velocity(contexts, text, imageScale, { renorm, renormMin });
      expect(relativeL2(guided, floats(file, key)), key).toBeLessThan(TOLERANCE);
    }
    for (const [key, golden] of Object.entries({ full: 'v_full', noText: 'v_no_text', noImage: 'v_no_img' })) {
      const one = contexts[key as keyof typeof contexts];
      const alone = await velocity({ full: one, noText: one, noImage: one });
      expect(relativeL2(alone, floats(file, `step.${golden}`)), golden).toBeLessThan(TOLERANCE);
    }
    await cx.sync();
    for (const sequence of [full, noText, noImage]) sequence.release();
  });

  test.each(generations)('%s: the whole trajectory and the picture', async (id) => {
    const { model } = bagel;
    const meta = json<GenerationJson>(`${name}/gen_${id}`);
    const file = await tensors(`${name}/gen_${id}`);
    const noise = floats(file, 'noise');
    const golden = floats(file, 'x');
    const { params } = meta;
    const source = meta.image === null ? undefined : (await image(meta.image)).source;
    const size = params.image_shapes && { height: params.image_shapes[0], width: params.image_shapes[1] };
    const options = {
      steps: params.num_timesteps - 1,
      shift: params.timestep_shift,
      guidance: params.cfg_text_scale,
      imageGuidance: params.cfg_img_scale,
      interval: params.cfg_interval,
      renorm: params.cfg_renorm_type,
      renormMin: params.cfg_renorm_min,
      noise,
    };
    const drawing = source
      ? await bagel.edit(source, meta.prompt, options)
      : await bagel.draw(meta.prompt, { ...options, size });
    expect(relativeL2(drawing.latents, floats(file, 'final')), 'final').toBeLessThan(TOLERANCE);
    const difference = pixelDifference(drawing.image.data, bytes(file, 'image'));
    expect(difference.mean).toBeLessThan(0.5);
    expect(difference.max).toBeLessThanOrEqual(3);

    // the same evaluations one by one, by the public code's own parameters
    const resized = source && resizeToRule(source, bagel.config.vaeTransform);
    const builder = new ContextBuilder(model, resized ? [resized] : [], false);
    const { branches } = await builder.build(meta.prompt, { needs: { noText: true, noImage: true } });
    const plan = planSteps(bagelGrid(params.num_timesteps, params.timestep_shift), {
      text: params.cfg_text_scale,
      image: params.cfg_img_scale,
      interval: params.cfg_interval,
      renorm: params.cfg_renorm_type,
      renormMin: params.cfg_renorm_min,
    });
    expect(plan).toHaveLength(meta.steps);
    const seen = await trajectory(model, latentGrid(bagel.config, resized ?? drawing), branches, plan, {
      noise,
      renorm: params.cfg_renorm_type,
      renormMin: params.cfg_renorm_min,
      sharedImage: !source,
    });
    for (let i = 1; i < meta.steps; i++) {
      const expected = golden.subarray(i * noise.length, (i + 1) * noise.length);
      expect(relativeL2(seen[i - 1] as Float32Array, expected), `x ${i}`).toBeLessThan(TOLERANCE);
    }
    expect(seen.at(-1)).toEqual(drawing.latents);
    releaseBranches(branches);
  });
});
