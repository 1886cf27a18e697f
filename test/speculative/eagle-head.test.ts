// A draft head from its files: one pass over accepted tokens and two levels of a tree against float64 loops; what is refused.
import { afterAll, describe, expect, test } from 'vitest';
import { HyperBagelError } from '../../lib/errors.js';
import * as ops from '../../lib/generated/ops.js';
import {
  defaultTaps,
  type EagleConfig,
  type EagleTarget,
  readEagleConfig,
} from '../../lib/speculative/eagle/config.js';
import { type DraftRows, EagleHead } from '../../lib/speculative/eagle/head.js';
import { type Float, loadEagleWeights } from '../../lib/speculative/eagle/weights.js';
import { Context } from '../../lib/tensor/context.js';
import { normals, seeded } from '../kit/cases.js';
import {
  f32,
  HeadOracle,
  type HeadParts,
  type HeadTensors,
  headTensors,
  vocabularyTables,
  withHead,
} from './eagle-kit.js';

const cx = await Context.create({ device: 'cpu', threads: 2 });
afterAll(() => cx.dispose());

const target: EagleTarget = {
  hidden: 48,
  intermediate: 64,
  layers: 6,
  heads: 6,
  kvHeads: 2,
  headDim: 8,
  vocab: 50,
  ropeTheta: 10000,
  eps: 1e-6,
};

/** Keys of config.json and parts of the file for every switch that there is. */
const heads: Record<string, { json?: Record<string, unknown>; parts?: HeadParts }> = {
  plain: {},
  'reduced vocabulary': {
    json: { draft_vocab_size: 20 },
    parts: { ids: Array.from({ length: 20 }, (_, i) => 2 * i + 3) },
  },
  'biases and norms of heads': { parts: { bias: true, qkNorm: true } },
  'EAGLE-3.1': { json: { fc_norm: true, norm_output: true } },
  'one norm over all taps': { json: { norm_before_fc: true, norm_before_residual: true } },
  'two layers, other heads, four taps': {
    json: {
      num_hidden_layers: 2,
      num_attention_heads: 4,
      num_key_value_heads: 4,
      head_dim: 10,
      intermediate_size: 32,
      rope_theta: 500,
      eagle_aux_hidden_state_layer_ids: [0, 2, 3, 6],
    },
    parts: { qkNorm: true },
  },
};

const PAGES = 5;

/** The head of a folder, with random tables of a target. */
async function load(folder: string, dtype: Float): Promise<{ head: EagleHead; embeddings: Float32Array }> {
  const config = await readEagleConfig(folder, target);
  const weights = await loadEagleWeights(cx, folder, config, target, dtype);
  const table = Float32Array.from(normals(seeded(3), dtype, [target.vocab, target.hidden]).data);
  const embedTokens = ops.cast(cx, { x: cx.tensor('f32', [target.vocab, target.hidden], table), dtype });
  const lmHead = ops.packWeight(cx, { weight: embedTokens });
  const host = { cx, dtype, embedTokens, lmHead, pages: PAGES };
  return { head: new EagleHead(host, config, weights), embeddings: table };
}

/** Largest error relative to the largest expected magnitude. */
function error(got: ArrayLike<number>, want: readonly number[]): number {
  expect(got.length).toBe(want.length);
  const scale = Math.max(...want.map(Math.abs));
  return Math.max(...want.map((w, i) => Math.abs((got[i] as number) - w))) / scale;
}

async function compare(
  config: EagleConfig,
  head: EagleHead,
  embeddings: Float32Array,
  tensors: HeadTensors,
  limit: number,
) {
  const { hidden } = target;
  const rng = seeded(11);
  const oracle = new HeadOracle(config, tensors);
  const row = (data: ArrayLike<number>, i: number) =>
    Array.from({ length: hidden }, (_, c) => data[i * hidden + c] as number);
  const float = (x: readonly number[][]) => {
    const plain = cx.tensor('f32', [x.length, hidden], x.flat());
    return head.host.dtype === 'f32' ? plain : ops.cast(cx, { x: plain, dtype: 'bf16' });
  };
  const ints = (values: number[], ...shape: number[]) =>
    cx.tensor('i32', shape.length > 0 ? shape : [values.length], values);
  const pageTable = ints([3, 1, 4], 1, 3);

  // a first pass: entries 0 .. 67, so that a page ends among them; an image's entries share a position
  const n = 68;
  const taps = config.taps.map(() => normals(rng, head.host.dtype, [n, hidden]).data);
  const tokens = Array.from({ length: n }, () => Math.floor(rng() * target.vocab));
  const positions = Array.from({ length: n }, (_, i) => (i < 5 ? i : i < 20 ? 5 : i - 14));
  const features = Array.from({ length: n }, (_, i) => oracle.fuse(taps.map((tap) => row(tap, i))));
  const fused = head.fuse(taps.map((tap) => float(Array.from({ length: n }, (_, i) => row(tap, i)))));
  const first: DraftRows = {
    positions: ints(positions),
    seq: cx.zeros('i32', [n]),
    slots: ints(positions.map((_, i) => i)),
    visible: ints(positions.map((_, i) => i + 1)),
    pageTable,
  };
  const out = head.layers(head.embed(ints(tokens)), fused, first);
  const end = head.finish(out);
  const wanted = features.map((feature, i) =>
    oracle.entry({
      embedding: row(embeddings, tokens[i] as number),
      feature,
      position: positions[i] as number,
      sees: Array.from({ length: i + 1 }, (_, j) => j),
    }),
  );
  const finished = wanted.map((x) => oracle.finish(x));
  expect(error(await fused.floats(), features.flat()), 'fusion').toBeLessThan(limit);
  expect(error(await out.floats(), wanted.flat()), 'layers').toBeLessThan(limit);
  expect(
    error(
      await end.logits.data(),
      finished.flatMap((f) => f.logits),
    ),
    'logits',
  ).toBeLessThan(limit);
  expect(
    error(
      await end.feature.floats(),
      finished.flatMap((f) => f.feature),
    ),
    'next feature',
  ).toBeLessThan(limit);

  // a tree behind it: two entries of the first level (slots 68, 69), three of the second (70 .. 72), below entries 0, 1, 1
  const tree = [
    { token: 7, above: n - 1, bits: 0b1, path: [] },
    { token: 9, above: n - 1, bits: 0b10, path: [] },
    { token: 1, above: n, bits: 0b101, path: [n] },
    { token: 2, above: n + 1, bits: 0b1010, path: [n + 1] },
    { token: 3, above: n + 1, bits: 0b10010, path: [n + 1] },
  ];
  const all = [...finished];
  for (const level of [tree.slice(0, 2), tree.slice(2)]) {
    const at = all.length;
    const position = level[0]?.path.length as number;
    const state: DraftRows = {
      positions: ints(level.map(() => 54 + position)),
      seq: cx.zeros('i32', [level.length]),
      slots: ints(level.map((_, i) => at + i)),
      visible: ints(level.map(() => n)),
      own: ints(
        level.flatMap(() => [n, at + level.length]),
        level.length,
        2,
      ),
      ancestors: ints(
        level.flatMap(({ bits }) => [bits, 0, 0, 0]),
        level.length,
        4,
      ),
      pageTable,
    };
    const feature = float(level.map(({ above }) => all[above]?.feature as number[]));
    const result = head.layers(head.embed(ints(level.map(({ token }) => token))), feature, state);
    const want = level.map(({ token, above, path }, i) =>
      oracle.entry({
        embedding: row(embeddings, token),
        feature: all[above]?.feature as number[],
        position: 54 + position,
        sees: [...Array.from({ length: n }, (_, j) => j), ...path, at + i],
      }),
    );
    all.push(...want.map((x) => oracle.finish(x)));
    expect(error(await result.floats(), want.flat()), 'a level of the tree').toBeLessThan(limit);
  }
}

describe('a head gives what float64 loops give', () => {
  for (const [name, { json = {}, parts = {} }] of Object.entries(heads)) {
    test(name, async () => {
      // the configuration first, by which the tensors are made
      const config = await withHead({ hidden_size: target.hidden, ...json }, { 'fc.weight': f32([1], [0]) }, (folder) =>
        readEagleConfig(folder, target),
      );
      const tensors = headTensors(seeded(1), config, target, parts);
      await withHead(json, tensors, async (folder) => {
        for (const [dtype, limit] of [
          ['f32', 3e-5],
          ['bf16', 4e-2],
        ] as const) {
          const { head, embeddings } = await load(folder, dtype);
          await compare(config, head, embeddings, tensors, limit);
          expect(head.ids ? Array.from(await head.ids.data()) : undefined).toEqual(parts.ids);
        }
      });
    });
  }
});

test('taps of small models lie around the middle, those of large ones where the public code has them', () => {
  expect(defaultTaps(28)).toEqual([2, 14, 25]);
  expect(defaultTaps(6)).toEqual([2, 3, 4]);
  expect(defaultTaps(4)).toEqual([1, 2, 3]);
  expect(defaultTaps(2)).toEqual([0, 1, 2]);
  expect(defaultTaps(1)).toEqual([0, 0, 1]);
});

describe('what does not fit is refused', () => {
  const config: EagleConfig = {
    ...target,
    taps: defaultTaps(target.layers),
    layers: 1,
    vocab: 20,
    fcNorm: false,
    normBeforeFc: false,
    normOutput: false,
    normBeforeResidual: false,
  };
  const ids = Array.from({ length: 20 }, (_, i) => i + 5);
  const good = headTensors(seeded(1), config, target, { ids });
  const json = { draft_vocab_size: 20 };
  const without = (name: string) => Object.fromEntries(Object.entries(good).filter(([key]) => key !== name));
  const attempts: Record<string, [json: Record<string, unknown>, tensors: HeadTensors, operand: string]> = {
    'another hidden size': [{ ...json, hidden_size: 64 }, good, 'hidden_size'],
    'another target': [{ ...json, target_hidden_size: 64 }, good, 'target_hidden_size'],
    'another vocabulary': [{ ...json, vocab_size: 51 }, good, 'vocab_size'],
    'a larger draft vocabulary': [{ draft_vocab_size: 51 }, good, 'draft_vocab_size'],
    'no draft vocabulary': [{ draft_vocab_size: 0 }, good, 'draft_vocab_size'],
    'a tap beyond the last layer': [
      { ...json, eagle_aux_hidden_state_layer_ids: [2, 3, 7] },
      good,
      'eagle_aux_hidden_state_layer_ids',
    ],
    'taps that are none': [
      { ...json, eagle_config: { eagle_aux_hidden_state_layer_ids: 'all' } },
      good,
      'eagle_aux_hidden_state_layer_ids',
    ],
    'no taps': [{ ...json, eagle_aux_hidden_state_layer_ids: [] }, good, 'eagle_aux_hidden_state_layer_ids'],
    'a hundred layers': [{ ...json, num_hidden_layers: 100 }, good, 'num_hidden_layers'],
    'heads that do not share': [{ ...json, num_key_value_heads: 4 }, good, 'num_key_value_heads'],
    'an odd head size': [{ ...json, head_dim: 7 }, good, 'head_dim'],
    'another activation': [{ ...json, hidden_act: 'gelu' }, good, 'hidden_act'],
    'a scaled rotary embedding': [{ ...json, rope_scaling: { type: 'yarn' } }, good, 'rope_scaling'],
    'a flag that is none': [{ ...json, fc_norm: 1 }, good, 'fc_norm'],
    'both norms before the fusion': [{ ...json, fc_norm: true, norm_before_fc: true }, good, 'norm_before_fc'],
    'a tensor missing': [json, without('midlayer.mlp.up_proj.weight'), 'midlayer.mlp.up_proj.weight'],
    'a norm that the switches ask for missing': [{ ...json, fc_norm: true }, good, 'fc_norm.0.weight'],
    'a tensor of another shape': [
      json,
      { ...good, 'fc.weight': f32([48, 48], new Float32Array(48 * 48)) },
      'fc.weight',
    ],
    'a tensor of integers': [
      json,
      { ...good, 'norm.weight': { dtype: 'I32', shape: [48], data: new Int32Array(48) } },
      'norm.weight',
    ],
    'one bias of three': [
      json,
      { ...good, 'midlayer.self_attn.q_proj.bias': f32([48], new Float32Array(48)) },
      'midlayer.self_attn.k_proj.bias',
    ],
    'one norm of heads of two': [
      json,
      { ...good, 'midlayer.self_attn.k_norm.weight': f32([8], new Float32Array(8)) },
      'midlayer.self_attn.q_norm.weight',
    ],
    'no list of target ids': [json, without('d2t'), 'd2t'],
    'a list of another length': [json, { ...good, ...vocabularyTables(ids.slice(1), 50) }, 'd2t'],
    'a target id twice': [json, { ...good, ...vocabularyTables([...ids.slice(1), 6], 50) }, 'd2t'],
    'a target id out of range': [
      json,
      { ...good, ...vocabularyTables([...ids.slice(1), 50], 51), t2d: good.t2d as never },
      'd2t',
    ],
    'a target id below zero': [json, { ...good, ...vocabularyTables([-1, ...ids.slice(1)], 50) }, 'd2t'],
    'target ids that are not integers': [
      json,
      { ...good, d2t: { dtype: 'F32', shape: [20], data: new Float32Array(20) } },
      'd2t',
    ],
    'a mask of other ids': [json, { ...good, t2d: vocabularyTables([...ids.slice(1), 0], 50).t2d as never }, 't2d'],
    'no head and another vocabulary': [json, without('lm_head.weight'), 'lm_head.weight'],
  };
  for (const [what, [config, tensors, operand]] of Object.entries(attempts)) {
    test(what, async () => {
      await withHead(config, tensors, async (folder) => {
        const failure = await load(folder, 'f32').then(
          () => undefined,
          (error: unknown) => error,
        );
        expect(failure).toBeInstanceOf(HyperBagelError);
        expect(failure).toMatchObject({ code: 'BAD_MODEL', operand });
      });
    });
  }

  test("but mixed dtypes, a copy of the embeddings and a head that is the target's are fine", async () => {
    const bf16 = { dtype: 'BF16', shape: [64, 48], data: new Uint16Array(64 * 48) } as const;
    const full = { ...config, vocab: target.vocab };
    const tensors = headTensors(seeded(1), full, target);
    delete tensors['lm_head.weight'];
    tensors['midlayer.mlp.up_proj.weight'] = bf16;
    tensors['embed_tokens.weight'] = f32([2], [0, 0]);
    await withHead({}, tensors, async (folder) => {
      const { head } = await load(folder, 'f32');
      const { logits } = head.finish(cx.zeros('f32', [3, 48]));
      expect(logits.shape).toEqual([3, target.vocab]);
      await cx.sync();
    });
  });
});
