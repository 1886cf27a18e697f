// The draft cache under sequences: what prefill feeds it after pictures, and who may write where once sequences are forked.
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PAGE_SLOTS, type Sequence } from '../../lib/cache/pages.js';
import { decodeImage } from '../../lib/io/image.js';
import { Bagel } from '../../lib/models/bagel/bagel.js';
import { readConfig } from '../../lib/models/bagel/config.js';
import type { BagelModel } from '../../lib/models/bagel/model.js';
import { prepareImage } from '../../lib/models/bagel/session.js';
import { BatchDecoder, type DecodeItem } from '../../lib/speculative/decode.js';
import { readEagleConfig } from '../../lib/speculative/eagle/config.js';
import type { EagleDrafter, FollowedRows } from '../../lib/speculative/eagle/drafter.js';
import { fixedPolicy } from '../../lib/speculative/policy.js';
import type { RoundTrace } from '../../lib/speculative/round.js';
import { Activity } from '../../lib/tensor/context.js';
import { seeded } from '../kit/cases.js';
import { HeadOracle, type HeadTensors, headTensors, writeHead } from './eagle-kit.js';

let root: string;
let bagel: Bagel;
let model: BagelModel;
let drafter: EagleDrafter;
let tensors: HeadTensors;
const json = { fc_norm: true, num_hidden_layers: 2, norm_output: true };

beforeAll(async () => {
  root = await mkdtemp(path.join(os.tmpdir(), 'hyper-bagel-eagle-'));
  const options = { cacheTokens: 4096, keepMeasurements: false };
  const folder = path.join(root, 'head');
  const target = (await readConfig('models/tiny')).llm;
  await writeHead(folder, json, {});
  tensors = headTensors(seeded(3), await readEagleConfig(folder, target), target, { qkNorm: true });
  bagel = await Bagel.load(undefined, { ...options, draft: await writeHead(folder, json, tensors) });
  model = bagel.model;
  drafter = model.drafter as EagleDrafter;
});
afterAll(async () => {
  await bagel.dispose();
  await rm(root, { recursive: true, force: true });
});

const text = (from: number, n: number) => Array.from({ length: n }, (_, i) => (from + 37 * i) % 600);

test('entries of pictures and texts are those of float64 loops, however they came', async () => {
  interface Seen {
    x: Promise<Float32Array>;
    taps: Promise<Float32Array>[];
    rows: Pick<FollowedRows, 'slots' | 'positions'>;
  }
  const seen: Seen[] = [];
  const append = drafter.append.bind(drafter);
  drafter.append = (sequence, rows) => {
    seen.push({ x: rows.x.floats(), taps: rows.taps.map((tap) => tap.floats()), rows });
    return append(sequence, rows);
  };
  const image = await prepareImage(model, await decodeImage('examples/scene.png'));
  const sequence = model.sequence();
  drafter.follow(sequence);
  model.appendTokens(sequence, text(5, 3));
  model.appendLatents(sequence, image);
  model.appendVision(sequence, image);
  model.appendTokens(sequence, text(9, 2));
  model.appendTokens(sequence, text(77, 1));
  model.reserve(sequence, 1);
  const first = 123;
  const out = await (drafter.complete(sequence, first) as NonNullable<ReturnType<EagleDrafter['complete']>>).floats();
  drafter.append = append;

  const { hidden } = model.config.llm;
  const row = (table: Float32Array, i: number) => table.slice(i * hidden, (i + 1) * hidden);
  const oracle = new HeadOracle(drafter.head.config, tensors);
  const entries: { x: Float32Array; feature: number[]; position: number }[] = [];
  for (const { x, taps, rows } of seen) {
    const [table, tapped] = [await x, await Promise.all(taps)];
    const order = rows.slots.map((_, slot) => rows.slots.indexOf(slot));
    for (const i of order) {
      const feature = oracle.fuse(tapped.map((tap) => row(tap, i)));
      entries.push({ x: row(table, i), feature, position: rows.positions[i] as number });
    }
  }
  expect(entries.length).toBe(sequence.length);
  expect(sequence.position).toBeLessThan(sequence.length); // a picture has one position
  const embeddings = await model.weights.embedTokens.floats();
  let want: number[] = [];
  entries.forEach(({ feature, position }, t) => {
    const embedding = entries[t + 1]?.x ?? row(embeddings, first);
    want = oracle.entry({ embedding, feature, position, sees: Array.from({ length: t + 1 }, (_, i) => i) });
  });
  const scale = Math.max(...want.map(Math.abs));
  want.forEach((v, c) => {
    expect(Math.abs((out[c] as number) - v) / scale).toBeLessThan(1e-4);
  });
  sequence.release();
});

test('forks share full pages, complete their own last entry, and draft as sequences of their own do', async () => {
  const decoder = new BatchDecoder(model, 2);
  const open = (ids: readonly number[]) => {
    const sequence = model.sequence();
    drafter.follow(sequence);
    model.appendTokens(sequence, ids);
    return sequence;
  };
  /** Decodes side by side; the trees of each. */
  const run = async (starts: { sequence: Sequence; first: number }[]): Promise<RoundTrace[][]> => {
    const sampling = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 1 };
    const items = starts.map(({ sequence, first }): DecodeItem => {
      model.reserve(sequence, 160);
      return {
        sequence,
        first,
        limit: 24,
        stop: [],
        sampling,
        speculation: { drafter, policy: fixedPolicy(16), prompt: [] },
      };
    });
    const traces = items.map((): RoundTrace[] => []);
    const waiting = [...items];
    const times = { draftMs: 0, verifyMs: 0 };
    for await (const rounds of decoder.run(() => waiting.shift(), { activity: new Activity(), times, traced: true })) {
      for (const { item, trace } of rounds) if (trace) traces[items.indexOf(item)]?.push(trace);
    }
    expect(times.draftMs).toBeGreaterThan(0);
    return traces;
  };
  for (const length of [PAGE_SLOTS, PAGE_SLOTS + 7]) {
    const ids = text(length, length);
    const base = open(ids);
    const forks = [base.fork(), base.fork()] as [Sequence, Sequence];
    // one after the other, then both at once from where they were
    const [a] = await run([{ sequence: forks[0], first: 5 }]);
    const [b] = await run([{ sequence: forks[1], first: 9 }]);
    const again = [base.fork(), base.fork()] as [Sequence, Sequence];
    const together = await run([
      { sequence: again[0], first: 5 },
      { sequence: again[1], first: 9 },
    ]);
    const own = [open(ids), open(ids)] as [Sequence, Sequence];
    const [ownA] = await run([{ sequence: own[0], first: 5 }]);
    const [ownB] = await run([{ sequence: own[1], first: 9 }]);
    expect(a).toEqual(ownA);
    expect(b).toEqual(ownB);
    expect(together).toEqual([ownA, ownB]);
    expect(ownA).not.toEqual(ownB);
    for (const sequence of [base, ...forks, ...again, ...own]) sequence.release();
  }
  decoder.dispose();
  expect(model.pool.free).toBe(model.pool.total);
});
