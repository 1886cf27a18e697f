// What the names of a contract cannot say: the rules of each op, and of calls within a recording.
import { afterAll, expect, test } from 'vitest';
import { HyperBagelError, ops } from '../../lib/index.js';
import { type AttributeMap, Context, type OperandMap } from '../../lib/tensor/context.js';
import type { Tensor } from '../../lib/tensor/tensor.js';

const cx = await Context.create({ device: 'cpu', threads: 1 });
afterAll(() => cx.dispose());

const f = (...shape: number[]) => cx.zeros('f32', shape);
const i = (...shape: number[]) => cx.zeros('i32', shape);
const packed = (m: number, k: number) => cx.call('pack_weight', { weight: f(m, k) }).out as Tensor;

/** Refused calls by op: what is wrong, the operands, the attributes, the blamed operand, the code if it is not BAD_SHAPE. */
type Refused = [what: string, operands: OperandMap, attributes: AttributeMap, operand: string, code?: string];

const linear = { x: f(2, 4), weight: f(3, 4) };
const experts = { ...linear, weight_gen: f(3, 4), split: i(1) };
const norm = { x: f(2, 4), weight: f(4) };
const lookUp = { x: f(2, 4), table: f(3, 4), ids: i(2) };
const conv = { x: f(5, 5, 2), weight: f(3, 18), bias: f(3) };
const update = { x: f(2, 4), v: f(2, 4), schedule: f(1, 8), step: i(1) };
const caches = (slots: number, d = 4) => ({ k_cache: f(2, 2, d, slots), v_cache: f(2, 2, slots, d) });
const attention = { q: f(3, 4, 4), ...caches(64), page_table: i(1, 2), seq: i(3), visible: i(3) };
const append = (d: number, columns: number, slots = 64) => ({
  qkv: f(3, columns),
  q_norm: f(d),
  k_norm: f(d),
  rope: f(3, d),
  seq: i(3),
  slots: i(3),
  page_table: i(1, 2),
  ...caches(slots, d),
});
const verified = { target: i(4), path: i(2, 3), accepted: i(2), positions: i(2), slots: i(2), finished: i(2) };
const ranked = { seq: i(3), temperature: f(2), seed: i(2, 2), output: i(2) };
const level = (rows: number, k: number, columns: number) => ({
  token: i(rows, k),
  value: f(rows, k),
  seq: i(rows),
  rows: i(1),
  positions: i(2),
  slots: i(2),
  capacity: i(2),
  tokens: i(2, columns),
  parents: i(2, columns),
  values: f(2, columns),
  count: i(2),
});
const settings = (b: number) => ({ seq: i(1), temperature: f(b), top_k: i(b), top_p: f(b), min_p: f(b) });
const classic = { target: f(3, 4), token: i(3), parent: i(3), first: i(3), seed: i(2, 2), position: i(2) };
const scaled = { scale: 1, shift: 0 };
const treeOf = (b: number, c = 2) => ({
  tokens: i(b, c),
  parents: i(b, c),
  values: f(b, c),
  ...Object.fromEntries(
    ['count', 'budget', 'root', 'root_position', 'root_slot', 'output', 'limit', 'capacity', 'finished'].map((name) => [
      name,
      i(b),
    ]),
  ),
});
const verifyOf = (offsets: number) => ({
  target: i(3),
  token: i(3),
  parent: i(3),
  first: i(offsets),
  stop: i(2, 1),
  history: i(2, 4),
  ...Object.fromEntries(['limit', 'tokens', 'positions', 'slots', 'output', 'finished'].map((name) => [name, i(2)])),
});
const commitOf = (slots: number) => ({
  ...caches(slots),
  page_table: i(1, 1),
  path: i(1, 4),
  accepted: i(1),
  slots: i(1),
});
const penalizeOf = () => ({ logits: f(2, 4), penalty: f(1), history: i(1, 3), count: i(1), seq: i(2) });

const refused: Record<string, Refused[]> = {
  draft_extend: [['first rows of another batch', { ...verified, first: i(2) }, {}, 'first']],
  draft_topk: [
    ['no columns', { ...ranked, logits: f(3, 0) }, { k: 1 }, 'logits'],
    [
      'no sequences',
      { logits: f(3, 4), seq: i(3), temperature: f(0), seed: i(0, 2), output: i(0) },
      { k: 1 },
      'temperature',
    ],
    ['33 children', { ...ranked, logits: f(3, 40) }, { k: 33 }, 'k', 'BAD_OPTION'],
  ],
  draft_expand: [
    ['no children', level(3, 0, 9), { level: 1 }, 'token'],
    ['33 children', level(3, 33, 99), { level: 1 }, 'token'],
    ['too deep for 128 bits', level(3, 8, 2000), { level: 17 }, 'level', 'BAD_OPTION'],
    ['too few columns', level(3, 3, 11), { level: 2 }, 'tokens'],
    ['a node alone', { ...level(3, 3, 12), node: i(3) }, { level: 2 }, 'reached'],
    ['no ancestors', { ...level(3, 3, 12), node: i(3), reached: f(3) }, { level: 2 }, 'ancestors'],
    ['no node', { ...level(3, 3, 12), reached: f(3), ancestors: i(3, 4) }, { level: 2 }, 'node'],
  ],
  linear: [
    ['swiglu of 48 rows', { ...linear, weight: f(48, 4) }, { activation: 'swiglu' }, 'weight'],
    ['a residual of another width', { ...linear, residual: f(2, 4) }, {}, 'residual'],
    [
      'a residual as wide as the rows of swiglu',
      { x: f(2, 4), weight: f(32, 4), residual: f(2, 32) },
      { activation: 'swiglu' },
      'residual',
    ],
    [
      'a residual of another dtype than asked for',
      { ...linear, residual: f(2, 3) },
      { dtype: 'bf16' },
      'residual',
      'BAD_DTYPE',
    ],
    ['experts of two layouts', { ...experts, weight: packed(3, 4) }, {}, 'weight_gen'],
    ['a second weight without split', { ...linear, weight_gen: f(3, 4) }, {}, 'split'],
    ['split without a second weight', { ...linear, split: i(1) }, {}, 'weight_gen'],
    ['a second bias without a second weight', { ...linear, bias: f(3), bias_gen: f(3) }, {}, 'weight_gen'],
    ['bias for the first expert only', { ...experts, bias: f(3) }, {}, 'bias_gen'],
    ['bias for the second expert only', { ...experts, bias_gen: f(3) }, {}, 'bias_gen'],
  ],
  rms_norm: [
    ['a second weight without split', { ...norm, weight_gen: f(4) }, {}, 'split'],
    ['split without a second weight', { ...norm, split: i(1) }, {}, 'weight_gen'],
  ],
  embedding: [['an empty table', { table: f(0, 4), ids: i(2) }, {}, 'table']],
  embed_add: [
    ['an empty table', { ...lookUp, table: f(0, 4) }, {}, 'table'],
    ['a second table without ids', { ...lookUp, table2: f(3, 4) }, {}, 'ids2'],
    ['ids without a second table', { ...lookUp, ids2: i(2) }, {}, 'ids2'],
    ['an empty second table', { ...lookUp, table2: f(0, 4), ids2: i(2) }, {}, 'table2'],
  ],
  conv2d: [
    ['a weight for another kernel', conv, { kernel: 5 }, 'weight'],
    ['a kernel larger than the picture', { ...conv, x: f(1, 5, 2) }, { pad_begin: 0, pad_end: 0 }, 'x'],
    ['a residual of another size', { ...conv, residual: f(5, 5, 3) }, { stride: 2 }, 'residual'],
  ],
  group_norm: [['channels that do not divide', { x: f(2, 2, 5), weight: f(5), bias: f(5) }, { groups: 2 }, 'x']],
  guided_update: [['an empty schedule', { ...update, schedule: f(0, 8) }, {}, 'schedule']],
  pack_weight: [['a third part without a second', { weight: f(2, 4), third: f(2, 4) }, {}, 'second']],
  copy_pages: [['pages of 32 slots', { ...caches(32), pairs: i(1, 2) }, {}, 'k_cache']],
  paged_attention: [
    ['pages of 32 slots', { ...attention, ...caches(32) }, { scale: 1 }, 'k_cache'],
    ['3 heads over 2 groups', { ...attention, q: f(3, 3, 4) }, { scale: 1 }, 'q'],
    ['ancestors without own slots', { ...attention, ancestors: i(3, 4) }, { scale: 1 }, 'own'],
  ],
  qk_norm_rope_append: [
    ['pages of 32 slots', append(4, 24, 32), {}, 'k_cache'],
    ['an odd head size', append(3, 18), {}, 'k_cache'],
    ['a q norm alone', { ...append(4, 24), k_norm: undefined }, {}, 'k_norm'],
    ['a k norm alone', { ...append(4, 24), q_norm: undefined }, {}, 'k_norm'],
    [
      'second norms without first ones',
      { ...append(4, 24), q_norm: undefined, k_norm: undefined, q_norm_gen: f(4), k_norm_gen: f(4), split: i(1) },
      {},
      'q_norm',
    ],
    ['columns that are no heads', append(4, 25), {}, 'qkv'],
    ['no room for a query head', append(4, 16), {}, 'qkv'],
    ['3 query heads over 2 groups', append(4, 28), {}, 'qkv'],
    ['a second q norm alone', { ...append(4, 24), q_norm_gen: f(4), split: i(1) }, {}, 'k_norm_gen'],
    ['second norms without split', { ...append(4, 24), q_norm_gen: f(4), k_norm_gen: f(4) }, {}, 'split'],
    ['split without second norms', { ...append(4, 24), split: i(1) }, {}, 'q_norm_gen'],
  ],
  patchify: [['a side that is no multiple', { x: f(4, 5, 1) }, { patch: 2 }, 'x']],
  unpatchify: [
    ['columns that are no patch', { x: f(4, 5) }, { patch: 2, height: 2 }, 'x'],
    ['rows that are no rectangle', { x: f(4, 4) }, { patch: 2, height: 3 }, 'x'],
  ],
  philox_normal: [
    ['2^40 draws', { seed: i(1, 2) }, { rows_count: 2 ** 20, columns: 2 ** 20, purpose: 1 }, 'columns'],
    ['a product that overflows', { seed: i(1, 2) }, { rows_count: 2 ** 52, columns: 2 ** 52, purpose: 1 }, 'columns'],
    ['two seeds for one image', { seed: i(2, 2) }, { rows_count: 4, columns: 4, purpose: 1 }, 'seed'],
    ['one seed for two images', { seed: i(1, 2), images: i(3) }, { rows_count: 4, columns: 4, purpose: 1 }, 'seed'],
  ],
  rope_table: [['an odd dim', { positions: i(2) }, { dim: 5, theta: 10 }, 'dim', 'BAD_OPTION']],
  time_embedding: [
    ['an odd dim', { times: f(2, 1), step: i(1) }, { dim: 5 }, 'dim', 'BAD_OPTION'],
    ['no times', { times: f(0, 1), step: i(1) }, {}, 'times'],
    ['no column', { times: f(2, 0), step: i(1) }, {}, 'times'],
    ['a column beyond', { times: f(2, 3), step: i(1) }, { column: 3 }, 'column', 'BAD_OPTION'],
  ],
  sample: [
    [
      'no columns',
      {
        logits: f(1, 0),
        seq: i(1),
        temperature: f(1),
        top_k: i(1),
        top_p: f(1),
        min_p: f(1),
        seed: i(1, 2),
        position: i(1),
      },
      {},
      'logits',
    ],
  ],
  tree_build: [
    ['fewer rows than sequences', treeOf(3), { capacity_rows: 2, vocabulary: 9 }, 'capacity_rows', 'BAD_OPTION'],
    ['too many candidates', treeOf(1, 65537), { capacity_rows: 8, vocabulary: 9 }, 'tokens'],
    [
      'half a second drafter',
      { ...treeOf(1), more_tokens: i(1, 3) },
      { capacity_rows: 8, vocabulary: 9 },
      'more_tokens',
    ],
    ['a second count alone', { ...treeOf(1), more_count: i(1) }, { capacity_rows: 8, vocabulary: 9 }, 'more_tokens'],
    [
      'too many candidates of a second drafter',
      {
        ...treeOf(1),
        more_tokens: i(1, 65537),
        more_parents: i(1, 65537),
        more_values: f(1, 65537),
        more_count: i(1),
      },
      { capacity_rows: 8, vocabulary: 9 },
      'more_tokens',
    ],
  ],
  tree_verify: [['row offsets of another batch', verifyOf(2), { width: 4 }, 'first']],
  kv_commit: [
    ['pages that layers cannot share out', commitOf(64), { layers: 3 }, 'k_cache'],
    ['pages of another size', commitOf(32), { layers: 2 }, 'k_cache'],
  ],
  penalize: [
    ['a tree without parents', { ...penalizeOf(), token: i(2), first: i(2) }, {}, 'parent'],
    ['a tree without row offsets', { ...penalizeOf(), token: i(2), parent: i(2) }, {}, 'first'],
    ['row offsets of another batch', { ...penalizeOf(), token: i(2), parent: i(2), first: i(3) }, {}, 'first'],
  ],
  filtered_softmax: [
    ['no columns', { logits: f(1, 0), ...settings(1) }, {}, 'logits'],
    ['no settings', { logits: f(1, 4), ...settings(0) }, {}, 'temperature'],
  ],
  classic_verify: [
    ['no columns', { ...classic, target: f(3, 0) }, {}, 'target'],
    ['as many first nodes as trees', { ...classic, first: i(2) }, {}, 'first'],
    ['drawn without rows', { ...classic, drawn: i(3) }, {}, 'draft'],
  ],
  vae_latent: [
    ['an odd number of channels', { moments: f(2, 2, 5) }, scaled, 'moments'],
    ['noise of another width', { moments: f(2, 2, 4), noise: f(2, 2, 4) }, scaled, 'noise'],
  ],
};

function refusal(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  return undefined;
}

test.each(Object.entries(refused).flatMap(([op, list]) => list.map((entry) => [op, entry[0], entry] as const)))(
  '%s refuses %s',
  async (op, _, [, operands, attributes, operand, code = 'BAD_SHAPE']) => {
    const error = refusal(() => cx.call(op, operands, attributes));
    expect(error).toBeInstanceOf(HyperBagelError);
    expect(error).toMatchObject({ code, op, operand });
    await cx.sync();
  },
);

test('a dtype or a choice that is none, from JavaScript', () => {
  const call = (more: object) => () => ops.linear(cx, { x: f(2, 4), weight: f(3, 4), ...more });
  expect(refusal(call({ dtype: 'f64' }))).toMatchObject({ code: 'BAD_OPTION', op: 'linear', operand: 'dtype' });
  expect(refusal(call({ activation: 'relu' }))).toMatchObject({ code: 'BAD_OPTION', operand: 'activation' });
  expect(refusal(call({ bias: [1, 2, 3] }))).toMatchObject({ code: 'BAD_OPTION', operand: 'bias' });
  expect(refusal(() => cx.call('no_such_op', {}))).toMatchObject({ code: 'BAD_OPTION', op: 'no_such_op' });
});

test('a bad call ends a recording, and the context records and runs afterwards', async () => {
  const x = cx.tensor('f32', [1, 2], [3, 4]);
  const weight = cx.tensor('f32', [2, 2], [1, 0, 0, 2]);
  const record = (last: Tensor<'f32'>) =>
    cx.record(() => {
      const first = ops.linear(cx, { x, weight });
      return ops.linear(cx, { x: first, weight: last });
    });
  expect(refusal(() => record(f(2, 3)))).toMatchObject({ code: 'BAD_SHAPE', op: 'linear', operand: 'weight' });
  const waits = () => cx.record(async () => {});
  expect(refusal(waits)).toMatchObject({ code: 'NOT_SUPPORTED' });
  const writes = () => cx.record(() => x.write([1, 2]));
  expect(refusal(writes)).toMatchObject({ code: 'NOT_SUPPORTED' });
  const nested = () => cx.record(() => cx.record(() => ({})));
  expect(refusal(nested)).toMatchObject({ code: 'NOT_SUPPORTED' });
  const program = record(weight);
  program.run();
  expect([...(await program.outputs.data())]).toEqual([3, 16]);
  program.dispose();
  expect(refusal(() => program.run())).toMatchObject({ code: 'DISPOSED' });
  expect(refusal(() => program.describe())).toMatchObject({ code: 'DISPOSED' });
});

test('an intermediate of a recording has no data outside it', async () => {
  const x = cx.tensor('f32', [1, 2], [3, 4]);
  const weight = cx.tensor('f32', [2, 2], [1, 0, 0, 2]);
  let leaked: Tensor<'f32'> | undefined;
  const program = cx.record(() => {
    leaked = ops.linear(cx, { x, weight });
    return ops.linear(cx, { x: leaked, weight });
  });
  const use = () => ops.linear(cx, { x: leaked as Tensor<'f32'>, weight });
  expect(refusal(use)).toMatchObject({ code: 'DISPOSED', op: 'linear', operand: 'x' });
  await expect((leaked as Tensor<'f32'>).data()).rejects.toMatchObject({ code: 'DISPOSED' });
  program.dispose();
});

test('a tensor that was never written', async () => {
  await expect(cx.tensor('f32', [2]).data()).rejects.toMatchObject({ code: 'BAD_OPTION' });
});

test.each([
  ['a negative size', [-1]],
  ['a fraction', [1.5]],
  ['NaN', [Number.NaN]],
  ['six dims', [1, 1, 1, 1, 1, 1]],
  ['more than 1e15 elements', [2 ** 30, 2 ** 30]],
  ['text', ['2'] as unknown as number[]],
  ['no list', 2 as unknown as number[]],
])('no tensor has the shape %s', (_, shape) => {
  expect(refusal(() => cx.tensor('f32', shape))).toMatchObject({ code: 'BAD_SHAPE', operand: 'shape' });
});

test("data that is not the tensor's", () => {
  expect(refusal(() => cx.tensor('f32', [2], [1]))).toMatchObject({ code: 'BAD_SHAPE', operand: 'data' });
  const halves = new Uint16Array(2) as unknown as Float32Array;
  expect(refusal(() => cx.tensor('f32', [2], halves))).toMatchObject({ code: 'BAD_DTYPE', operand: 'data' });
  expect(refusal(() => cx.tensor('f64' as 'f32', [2]))).toMatchObject({ code: 'BAD_DTYPE' });
  expect(refusal(() => f(2, 3).reshape([4]))).toMatchObject({ code: 'BAD_SHAPE' });
  expect(refusal(() => f(2, 3).rows(1, 3))).toMatchObject({ code: 'BAD_SHAPE' });
});
