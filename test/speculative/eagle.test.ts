// Drafting on the device: heads whose drafts are known, heads of random weights, and what the pipeline of rounds leaves behind.
import { cp, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer, AnswerOptions, RoundReport } from '../../lib/models/bagel/answer.js';
import { Bagel, bundledModel, type LoadOptions } from '../../lib/models/bagel/bagel.js';
import { BatchDecoder, type DecodeItem } from '../../lib/speculative/decode.js';
import { fixedPolicy } from '../../lib/speculative/policy.js';
import type { RoundTrace } from '../../lib/speculative/round.js';
import { Activity } from '../../lib/tensor/context.js';
import { fullTier } from '../kit/tier.js';
import { oracle } from './drafters.js';
import {
  bigramConfig,
  bigramHead,
  echoHead,
  f32,
  type HeadParts,
  type HeadTensors,
  wideHead,
  writeHead,
  writeRandomHead,
} from './eagle-kit.js';

const full = fullTier(40, 'all tree sizes with every temperature');

let root: string;
let plainModel: Bagel;
/** [vocabulary, hidden] */
let embeddings: Float32Array;

beforeAll(async () => {
  root = await mkdtemp(path.join(os.tmpdir(), 'hyper-bagel-eagle-'));
  plainModel = await Bagel.load(undefined, { cacheTokens: 8192 });
  embeddings = await plainModel.model.weights.embedTokens.floats();
});
afterAll(async () => {
  await plainModel.dispose();
  await rm(root, { recursive: true, force: true });
});

const folderOf = (name: string, config: Record<string, unknown>, tensors: HeadTensors) =>
  writeHead(path.join(root, name), config, tensors);

/** A folder with a head of random weights. */
const randomFolder = (name: string, json: Record<string, unknown>, parts?: HeadParts) =>
  writeRandomHead(path.join(root, name), plainModel.config.llm, { json, parts, seed: name.length });

const load = (draft: string, options: LoadOptions = {}) =>
  Bagel.load(undefined, { draft, cacheTokens: 8192, keepMeasurements: false, ...options });

const essence = ({ text, tokens, finishReason, promptTokens }: Answer) => ({
  text,
  tokens,
  finishReason,
  promptTokens,
});

async function ask(bagel: Bagel, options: AnswerOptions, question = 'describe the image.'): Promise<Answer> {
  using session = bagel.session();
  await session.addImage('examples/scene.png');
  await session.addText(question);
  return await session.answer(options).result;
}

describe('a head that knows which token follows which', () => {
  let bagel: Bagel;
  let plain: Answer;
  let next: Map<number, number>;
  const DEPTH = 6;
  beforeAll(async () => {
    plain = await ask(plainModel, { speculate: 'off' });
    const { bos } = plainModel.model.special;
    next = new Map();
    [bos, ...plain.tokens].forEach((token, i, all) => {
      const follower = all[i + 1];
      if (follower !== undefined && !next.has(token)) next.set(token, follower);
    });
    bagel = await load(await folderOf('bigram', bigramConfig, bigramHead(plainModel.config.llm, embeddings, next)));
  });
  afterAll(() => bagel.dispose());

  /** Rounds and accepted tokens when every round drafts the chain that the table gives. */
  function expected(tokens: readonly number[], nodes: number): { rounds: number; accepted: number } {
    const all = [bagel.model.special.bos, ...tokens, bagel.model.special.eos];
    let accepted = 0;
    let rounds = 0;
    for (let at = 0; at < all.length - 1; rounds++) {
      let token = all[at] as number;
      let run = 0;
      while (run < Math.min(nodes, DEPTH) && next.has(token) && next.get(token) === all[at + 1 + run]) {
        token = next.get(token) as number;
        run++;
      }
      accepted += run;
      at += run + 1;
    }
    return { rounds, accepted };
  }

  test.each([2, 3, 5, 7])('drafts its chains: %i nodes', async (treeNodes) => {
    const answer = await ask(bagel, { speculate: 'eagle', treeNodes });
    expect(essence(answer)).toEqual(essence(plain));
    const { rounds, accepted } = expected(plain.tokens, treeNodes - 1);
    expect(answer.stats.steps).toBe(rounds);
    expect(answer.stats.speculation).toMatchObject({ drafter: 'eagle', accepted });
    expect(accepted).toBeGreaterThan(5);
  });

  test('and when tokens are drawn, too: the noise does not change what it is sure of', async () => {
    for (const seed of [1, 2, 3]) {
      const options = { temperature: 1, seed };
      const reference = await ask(bagel, { ...options, speculate: 'off' });
      const answer = await ask(bagel, { ...options, speculate: 'eagle', treeNodes: 5 });
      expect(essence(answer)).toEqual(essence(reference));
      const { rounds, accepted } = expected(reference.tokens, 4);
      expect(answer.stats.steps).toBe(rounds);
      expect(answer.stats.speculation.accepted).toBe(accepted);
    }
  });

  test('a part of a batch drafts as it does alone, answers beside it have their own drafters', async () => {
    const known = [...plain.tokens, bagel.model.special.eos];
    const kinds: AnswerOptions[] = [
      { speculate: 'eagle', treeNodes: 7 },
      { speculate: 'off' },
      { speculate: 'eagle', treeNodes: 3 },
      { speculate: oracle(known), treeNodes: 9 },
      { speculate: 'eagle', treeNodes: 7, maxTokens: 5 },
    ];
    const sessions = await Promise.all(
      kinds.map(async () => {
        const session = bagel.session();
        await session.addImage('examples/scene.png');
        await session.addText('describe the image.');
        return session;
      }),
    );
    for (const picked of [
      [0, 2, 4],
      [0, 1, 2, 3, 4],
    ]) {
      const items = picked.map((k) => ({
        session: sessions[k] as (typeof sessions)[0],
        ...(kinds[k] as AnswerOptions),
      }));
      const answers: Answer[] = [];
      for await (const result of bagel.answerMany(items, { batch: 3 })) {
        if ('error' in result) throw result.error;
        if ('answer' in result) answers[result.index] = result.answer;
      }
      answers.forEach((answer, i) => {
        const k = picked[i] as number;
        const tokens = plain.tokens.slice(0, kinds[k]?.maxTokens);
        if (picked.length === 3) expect(answer.tokens).toEqual(tokens);
        if (k === 0 && picked.length === 3) {
          expect(answer.stats.speculation.accepted).toBe(expected(plain.tokens, 6).accepted);
        }
        if (k === 2 && picked.length === 3) {
          expect(answer.stats.speculation.accepted).toBe(expected(plain.tokens, 2).accepted);
        }
      });
      if (picked.length === 3) continue;
      // a second answer of each session: the same as without speculation
      const references = await Promise.all(
        sessions.map(async (_, k) => {
          const session = plainModel.session();
          await session.addImage('examples/scene.png');
          await session.addText('describe the image.');
          const { maxTokens } = kinds[k] as AnswerOptions;
          if ([0, 2, 4].includes(k)) await session.answer({ speculate: 'off', maxTokens }).result;
          return await session.answer({ speculate: 'off', maxTokens }).result;
        }),
      );
      expect(answers.map(essence)).toEqual(references.map(essence));
    }
    for (const session of sessions) session.dispose();
  });

  test('chooses its size by measured cost when nobody else does', async () => {
    await bagel.calibrate();
    const answer = await ask(bagel, { speculate: 'eagle' });
    expect(essence(answer)).toEqual(essence(plain));
    const { drafter, accepted, rounds, draftMs, verifyMs } = answer.stats.speculation;
    expect(drafter).toBe('eagle');
    expect(accepted).toBeGreaterThan(0);
    expect(rounds).toBeLessThanOrEqual(answer.stats.steps);
    expect(draftMs).toBeGreaterThan(0);
    expect(draftMs + verifyMs).toBeLessThan(answer.timings.answerMs);
    const auto = await ask(bagel, {});
    expect(essence(auto)).toEqual(essence(plain));
    expect(['eagle', 'off']).toContain(auto.stats.speculation.drafter); // off where rounds cost too much here
  });
});

test('a head that says again what the target said drafts the root, in every round and at every depth', async () => {
  const { llm } = plainModel.config;
  const norm = await plainModel.model.weights.norm.und.floats();
  const config = { ...wideHead, eagle_aux_hidden_state_layer_ids: [0, 3, llm.layers] };
  await using bagel = await load(await folderOf('echo', config, echoHead(llm, norm)));
  const rounds: RoundReport[] = [];
  const answer = await ask(bagel, { speculate: 'eagle', treeNodes: 4, onRound: (round) => rounds.push(round) });
  expect(essence(answer)).toEqual(essence(await ask(plainModel, { speculate: 'off' })));
  expect(rounds.length).toBeGreaterThan(10);
  // the first feature is that of the prompt's last token, which predicts something else than the first token that is fed
  for (const { tokens, parents } of rounds.slice(1)) {
    if (tokens.length < 4) continue; // near the limit trees are cut
    let node = 0;
    for (let depth = 1; depth < 3; depth++) {
      const children = tokens.flatMap((token, i) => (parents[i] === node ? [{ token, i }] : []));
      if (children.length === 0) break;
      expect(children[0]?.token).toBe(tokens[0]);
      node = children[0]?.i as number;
    }
  }
});

describe('heads of random weights', () => {
  const heads: Record<string, { json: Record<string, unknown>; parts?: HeadParts }> = {
    plain: { json: {} },
    'small vocabulary': {
      json: { draft_vocab_size: 90 },
      parts: { ids: Array.from({ length: 90 }, (_, i) => 7 * i + 1) },
    },
    'two layers': { json: { num_hidden_layers: 2, fc_norm: true, norm_output: true }, parts: { qkNorm: true } },
  };

  describe.each(Object.keys(heads))('%s', (name) => {
    let bagel: Bagel;
    beforeAll(async () => {
      const { json, parts } = heads[name] as (typeof heads)[string];
      bagel = await load(await randomFolder(name, json, parts), {
        dtype: name === 'plain' ? 'bf16' : 'f32',
        threads: 2,
      });
    });
    afterAll(() => bagel.dispose());

    test('change no answer, nor the next one', async () => {
      let drafted = 0;
      for (const [i, temperature] of [0, 0.3, 0.7, 1, 1.5].entries()) {
        const filters = i % 2 ? { topK: 20, topP: 0.9, repetitionPenalty: 1.2 } : {};
        const options = { temperature, seed: i, maxTokens: 40, ...filters };
        const both = async (speculate: 'eagle' | 'off', treeNodes: number): Promise<Answer[]> => {
          using session = bagel.session();
          if (i % 2) await session.addImage('examples/scene.png');
          await session.addText('describe the image.');
          const first = await session.answer({ ...options, speculate, treeNodes }).result;
          await session.addText('are you sure?');
          const second = await session.answer({ ...options, speculate, treeNodes }).result;
          drafted += first.stats.speculation.drafted + second.stats.speculation.drafted;
          return [first, second];
        };
        const reference = await both('off', 1);
        for (const treeNodes of full ? [2, 8, 17, 64, 128] : [[2, 17, 128][i % 3] as number]) {
          expect((await both('eagle', treeNodes)).map(essence)).toEqual(reference.map(essence));
        }
      }
      expect(drafted).toBeGreaterThan(200);
    });

    test('draft after any history what they draft after the same text at once', async () => {
      const { model } = bagel;
      const drafter = model.drafter;
      if (!drafter) throw new Error('no draft head');
      const decoder = new BatchDecoder(model, 1);
      const text = [3, 70, 150, 200, 61, 9, 400, 12, 77, 500].flatMap((t) => [t, t + 1, t + 40]);
      /** Feeds the pieces one after the other, then decodes; the trees of its rounds. */
      const run = async (pieces: number[][], first: number, limit: number, most: number) => {
        const sequence = model.sequence();
        drafter.follow(sequence);
        for (const piece of pieces) model.appendTokens(sequence, piece);
        model.reserve(sequence, limit + 2 + 127);
        const sampling = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 1 };
        const speculation = { drafter, policy: fixedPolicy(24), prompt: [] };
        const item: DecodeItem = { sequence, first, limit, stop: [], sampling, speculation };
        const items = [item];
        const traces: RoundTrace[] = [];
        const tokens: number[] = [];
        const times = { draftMs: 0, verifyMs: 0 };
        for await (const rounds of decoder.run(() => items.pop(), { activity: new Activity(), times, traced: true })) {
          for (const { event, trace } of rounds) {
            if (trace) traces.push(trace);
            tokens.push(...event.tokens);
          }
          if (traces.length >= most) break;
        }
        sequence.release();
        return { traces, tokens };
      };
      const cut = [text.slice(0, 1), text.slice(1, 20), text.slice(20)];
      const { traces, tokens } = await run(cut, 5, 70, 1000);
      expect(tokens.length).toBe(70);
      let index = 0;
      for (const [round, { tokens: nodes, parents, targets }] of traces.entries()) {
        const root = index === 0 ? 5 : (tokens[index - 1] as number);
        expect(nodes[0]).toBe(root);
        if (round % 7 === 0 || round > traces.length - 3) {
          const before = [...text, ...(index === 0 ? [] : [5, ...tokens.slice(0, index - 1)])];
          const again = await run([before], root, 70 - index, 1);
          expect(again.traces[0], `round ${round}`).toEqual({ tokens: nodes, parents, targets });
        }
        // along the path of the targets
        let node = 0;
        let given = 1;
        for (;;) {
          const child = nodes.findIndex((token, i) => i > 0 && parents[i] === node && token === targets[node]);
          if (child < 0) break;
          node = child;
          given++;
        }
        index += given;
      }
      decoder.dispose();
    });
  });

  test('text that was decoded plainly leaves a hole that draft entries close', async () => {
    await using bagel = await load(await randomFolder('plain', {}));
    using session = bagel.session();
    using reference = plainModel.session();
    for (const speculate of ['off', 'eagle', 'off', 'eagle'] as const) {
      for (const s of [session, reference]) await s.addText('describe the image.');
      const options = { maxTokens: 30, temperature: 0.7, seed: 3 };
      const got = await session.answer({ ...options, speculate, treeNodes: 9 }).result;
      const want = await reference.answer({ ...options, speculate: 'off' }).result;
      expect(essence(got)).toEqual(essence(want));
    }
  });
});

describe('where the head comes from', () => {
  test('draft/ in the model folder, another folder, or none', async () => {
    const model = path.join(root, 'model');
    await cp(bundledModel(), model, { recursive: true });
    await cp(await randomFolder('plain', {}), path.join(model, 'draft'), { recursive: true });
    const options = { cacheTokens: 4096, keepMeasurements: false };
    await using beside = await Bagel.load(model, options);
    expect(beside.model.drafter?.head.config.layers).toBe(1);
    await using without = await Bagel.load(model, { ...options, draft: false });
    expect(without.model.drafter).toBeUndefined();
    await expect(ask(without, { speculate: 'eagle' })).rejects.toMatchObject({
      code: 'NOT_SUPPORTED',
      operand: 'speculate',
    });
    await using other = await Bagel.load(model, {
      ...options,
      draft: await randomFolder('two layers', { num_hidden_layers: 2 }),
    });
    expect(other.model.drafter?.head.config.layers).toBe(2);
    const drafter = beside.model.drafter;
    if (drafter) {
      await expect(ask(other, { speculate: drafter })).rejects.toMatchObject({ code: 'NOT_SUPPORTED' });
    }
  });

  test('one that does not fit, or is not there, is refused', async () => {
    const hidden = await folderOf('hidden', { hidden_size: 64 }, { 'fc.weight': f32([1], [0]) });
    await expect(load(hidden)).rejects.toMatchObject({ code: 'BAD_MODEL', operand: 'hidden_size' });
    const bad = await folderOf('short', {}, { 'fc.weight': f32([1], [0]) });
    await expect(load(bad)).rejects.toMatchObject({ code: 'BAD_MODEL', operand: 'fc.weight' });
    await expect(load(path.join(root, 'nowhere'))).rejects.toMatchObject({ code: 'BAD_MODEL' });
    await expect(load('')).rejects.toMatchObject({ code: 'BAD_OPTION', operand: 'draft' });
    await expect(load(7 as unknown as string)).rejects.toMatchObject({ code: 'BAD_OPTION', operand: 'draft' });
  });
});
