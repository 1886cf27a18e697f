// A recorded step replayed with other counts, positions, masks and seeds as data: no allocation, no host read, no re-recording in
// between, and the results of eager calls.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as ops from '../../lib/generated/ops.js';
import { Bagel } from '../../lib/models/bagel/bagel.js';
import { BatchDecoder } from '../../lib/speculative/decode.js';
import { Activity, Context } from '../../lib/tensor/context.js';
import type { Tensor } from '../../lib/tensor/tensor.js';
import { seeded } from '../kit/cases.js';
import { failureCode } from '../kit/failure.js';

const N = 16;
const D = 24;
const HEADS = 4;
const KV = 2;
const PAGES = 6;

describe('one program, 100 replays', () => {
  let cx: Context;
  beforeAll(async () => {
    cx = await Context.create({ device: 'cpu', threads: 2 });
  });
  afterAll(() => cx.dispose());

  /** A step that reads everything that may change: counts, positions, slots, masks, seeds, step index. */
  function makeStep() {
    const rng = seeded(5);
    const noise = (...shape: number[]) =>
      cx.tensor(
        'f32',
        shape,
        Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 2 * rng() - 1),
      );
    const state = {
      x: noise(N, D),
      rows: cx.zeros('i32', [1]),
      positions: cx.zeros('i32', [N]),
      slots: cx.zeros('i32', [N]),
      seq: cx.zeros('i32', [N]),
      visible: cx.zeros('i32', [N]),
      own: cx.zeros('i32', [N, 2]),
      ancestors: cx.zeros('i32', [N, 4]),
      pageTable: cx.zeros('i32', [2, 3]),
      seed: cx.zeros('i32', [N, 2]),
      temperature: cx.zeros('f32', [N]),
      topK: cx.zeros('i32', [N]),
      topP: cx.tensor('f32', [N], Array(N).fill(0.9)),
      minP: cx.zeros('f32', [N]),
      position: cx.zeros('i32', [N]),
    };
    const weights = {
      norm: noise(D),
      qkv: ops.packWeight(cx, { weight: noise((HEADS + 2 * KV) * D, D) }),
      qNorm: noise(D),
      kNorm: noise(D),
      head: ops.packWeight(cx, { weight: noise(50, HEADS * D) }),
    };
    const cache = { kCache: cx.zeros('f32', [PAGES, KV, D, 64]), vCache: cx.zeros('f32', [PAGES, KV, 64, D]) };
    const step = () => {
      const { rows, pageTable, seq } = state;
      const { out } = ops.rmsNorm(cx, { x: state.x, weight: weights.norm, rows });
      const q = ops.qkNormRopeAppend(cx, {
        qkv: ops.linear(cx, { x: out, weight: weights.qkv, rows }),
        qNorm: weights.qNorm,
        kNorm: weights.kNorm,
        rope: ops.ropeTable(cx, { positions: state.positions, rows, dim: D, theta: 1e4 }),
        slots: state.slots,
        seq,
        pageTable,
        rows,
        ...cache,
      });
      const attended = ops.pagedAttention(cx, {
        q,
        seq,
        pageTable,
        visible: state.visible,
        own: state.own,
        ancestors: state.ancestors,
        rows,
        scale: 1 / Math.sqrt(D),
        ...cache,
      });
      const logits = ops.linear(cx, { x: attended.reshape([N, HEADS * D]), weight: weights.head, rows });
      const token = ops.sample(cx, { logits, ...state });
      return { logits, token };
    };
    return { state, step };
  }

  test('equals eager, allocates and reads nothing', async () => {
    const { state, step } = makeStep();
    const program = cx.record(step);
    const seen: number[] = [];
    /** New data for the step, from a number. */
    const vary = (i: number) => {
      const rng = seeded(1000 + i);
      const int = (n: number) => Math.floor(rng() * n);
      const live = i % (N + 1);
      const base = int(60);
      const ints = (make: (row: number) => number) => Int32Array.from({ length: N }, (_, row) => make(row));
      state.rows.write([live]);
      state.positions.write(ints((row) => base + row));
      state.slots.write(ints((row) => 64 + row));
      state.seq.write(ints((row) => row % 2));
      state.visible.write(ints(() => base));
      state.own.write(Int32Array.from({ length: 2 * N }, (_, j) => (j % 2 ? 64 + N : 64)));
      state.ancestors.write(
        Int32Array.from({ length: 4 * N }, (_, j) => (j % 4 ? 0 : (1 << (j / 4)) | int(1 << (j / 4)))),
      );
      state.pageTable.write([0, 1, 2, 3, 4, 5]);
      state.seed.write(Int32Array.from({ length: 2 * N }, () => int(2 ** 31)));
      state.temperature.write(Float32Array.from({ length: N }, (_, row) => (row % 3) * 0.5));
      state.topK.write(ints(() => int(20)));
      state.position.write(ints(() => int(1000)));
      return live;
    };
    vary(3);
    program.run();
    await cx.sync();
    const before = cx.counters();
    const replayed: { logits: Float32Array; token: Int32Array }[] = [];
    let reads = 0;
    for (let i = 0; i < 100; i++) {
      vary(i);
      program.run();
      if (i % 10 === 9) {
        // the host looks only now and then, and only because this test does
        replayed.push({ logits: await program.outputs.logits.data(), token: await program.outputs.token.data() });
        reads += 2;
      }
    }
    await cx.sync();
    const after = cx.counters();
    expect(after.allocations - before.allocations).toBe(0);
    expect(after.recordings - before.recordings).toBe(0);
    expect(after.runs - before.runs).toBe(100);
    expect(after.reads - before.reads).toBe(reads);
    program.dispose();

    // the same data through eager calls
    for (let i = 0, k = 0; i < 100; i++) {
      const live = vary(i);
      const eager = cx.scope(step);
      if (i % 10 === 9) {
        const { logits, token } = replayed[k++] as (typeof replayed)[number];
        expect((await eager.logits.data()).subarray(0, live * 50)).toEqual(logits.subarray(0, live * 50));
        expect((await eager.token.data()).subarray(0, live)).toEqual(token.subarray(0, live));
      }
      seen.push(live);
      eager.logits.dispose();
      eager.token.dispose();
    }
    expect(new Set(seen).size).toBe(N + 1);
  });

  test('the arena shares memory, and recording refuses what has no meaning in a program', async () => {
    const { step, state } = makeStep();
    const program = cx.record(step);
    const { arenaBytes, unplannedBytes, ops: count } = program.describe();
    expect(count).toBe(7);
    expect(arenaBytes).toBeLessThan(unplannedBytes);
    expect(arenaBytes).toBeGreaterThan(0);
    const refuse = (fn: () => unknown) => expect(() => cx.record(fn)).toThrowError(/recorded|async/);
    refuse(() => state.rows.write([1]));
    refuse(() => cx.tensor('f32', [1]));
    refuse(() => program.run());
    refuse(() => cx.record(() => {}));
    refuse(async () => {});
    let inner: Tensor<'f32'> | undefined;
    const other = cx.record(() => {
      inner = ops.rmsNorm(cx, { x: state.x, weight: state.x.rows(0, 1).reshape([D]) }).out;
      return ops.rmsNorm(cx, { x: inner, weight: state.x.rows(0, 1).reshape([D]) }).out;
    });
    expect(inner?.disposed).toBe(true);
    other.run();
    expect((await other.outputs.data()).length).toBe(N * D);
  });
});

describe('the bundled model', () => {
  test('a decode step replays without allocation; a batch of 16 has the bits of one', async () => {
    const bagel = await Bagel.load(undefined, { threads: 2 });
    const { model } = bagel;
    const questions = Array.from(
      { length: 16 },
      (_, i) => `how many ${['circles', 'squares', 'rings', 'crosses'][i % 4]} are there? ${i}`,
    );
    const sampling = { temperature: 0.8, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 7 };
    const answers: number[][] = [];
    const alone = new BatchDecoder(model, 1);
    const item = (text: string, limit: number) => {
      const sequence = model.sequence();
      model.appendTokens(sequence, model.frame(text));
      model.reserve(sequence, limit + 6);
      return { sequence, first: model.special.bos, limit, stop: [], sampling };
    };
    const run = async (decoder: BatchDecoder, items: ReturnType<typeof item>[]) => {
      const out: number[][] = items.map(() => []);
      const waiting = [...items];
      const options = { activity: new Activity(), times: { draftMs: 0, verifyMs: 0 } };
      for await (const round of decoder.run(() => waiting.shift(), options)) {
        for (const result of round) out[items.indexOf(result.item)]?.push(...result.event.tokens);
      }
      return out;
    };
    const collect = async (decoder: BatchDecoder, texts: string[]) => {
      const items = texts.map((text) => item(text, 24));
      await model.cx.sync();
      const out = await run(decoder, items);
      for (const { sequence } of items) sequence.release();
      return out;
    };
    await collect(alone, [questions[0] as string]); // the first run resolves addresses
    for (const question of questions) {
      const [one] = await collect(alone, [question]);
      answers.push(one as number[]);
    }
    for (const size of [16, 5]) {
      const batch = new BatchDecoder(model, size);
      expect(await collect(batch, questions), `in ${size} rows`).toEqual(answers);
      batch.dispose();
    }
    expect(answers.every((tokens) => tokens.length === 24)).toBe(true);

    const long = item('describe the image.', 120);
    await model.cx.sync();
    const before = model.cx.counters();
    const [tokens] = await run(alone, [long]);
    const after = model.cx.counters();
    expect(tokens).toHaveLength(120);
    expect(after.allocations - before.allocations).toBe(0);
    expect(after.reads - before.reads).toBe(0);
    expect(after.recordings - before.recordings).toBe(0);
    await bagel.dispose();
  });
});

test.each(['cpu', 'simt'] as const)(
  'nothing of a program runs when what it reads is not to be trusted: %s',
  async (device) => {
    await using cx = await Context.create({ device });
    const cancelled = new Activity();
    cancelled.cancel();
    const weight = cx.tensor('f32', [4], [1, 1, 1, 1]);
    const count = cx.tensor('i32', [1], [5]);
    const x = cx.within(cancelled, () => cx.tensor('f32', [1, 4], [3, 3, 3, 3]));
    expect(await failureCode(() => cx.sync(cancelled))).toBe('CANCELLED');
    const program = cx.record(() => {
      ops.increment(cx, { x: count });
      return ops.rmsNorm(cx, { x, weight }).out;
    });
    program.run();
    expect(await failureCode(() => program.outputs.data())).toBe('CANCELLED');
    expect(await failureCode(() => cx.sync())).toBe('CANCELLED');
    expect([...(await count.data())]).toEqual([5]);
    x.write([3, 3, 3, 3]);
    program.run();
    expect(Array.from(await program.outputs.data(), Math.round)).toEqual([1, 1, 1, 1]);
    expect([...(await count.data())]).toEqual([6]);
  },
);
