// Speculation changes nothing but the time: an answer has the same bits with any drafter, tree size, batch and thread count as
// with plain decoding, alone, on one thread. So has the next answer of the conversation, which reads what rounds left in the cache.
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { QUESTION_TYPES, questionItems, renderScene } from '../../lib/eval/world/index.js';
import { Image } from '../../lib/io/image.js';
import type { Answer, AnswerOptions, Speculate } from '../../lib/models/bagel/answer.js';
import { Bagel } from '../../lib/models/bagel/bagel.js';
import { THINK_PROMPTS } from '../../lib/models/bagel/contexts.js';
import type { Session } from '../../lib/models/bagel/session.js';
import type { Drafter } from '../../lib/speculative/drafter.js';
import { NgramDrafter } from '../../lib/speculative/ngram.js';
import { NgramMemory } from '../../lib/speculative/ngram-memory.js';
import { instructionSets } from '../../lib/tensor/context.js';
import { type Rng, seeded } from '../kit/cases.js';
import { fullTier } from '../kit/tier.js';
import { CoveringArray, type Row } from './covering.js';
import { adversarial, broken, constructed, oracle, randomTrees } from './drafters.js';
import { bigramConfig, bigramHead, writeHead, writeRandomHead } from './eagle-kit.js';

const full = fullTier(300, '1,920 of 2,000 answers, software models of instruction sets');
const ANSWERS = full ? 2000 : 80;

/** Native ones, and models of others in software, which take their time. */
const sets = instructionSets().filter(({ available, model }) => available && (full || !model));
/** A model takes twenty times as long as the set that it stands for: it has its turn less often. */
const often = sets.flatMap(({ name, model }) => (model ? [name] : [name, name, name, name]));
const slow = new Set(['scalar', ...sets.filter(({ model }) => model).map(({ name }) => name)]);

const factors = {
  isa: sets.map(({ name }) => name),
  dtype: ['f32', 'bf16'] as const,
  threads: [1, 2, 3, 4],
  batch: [1, 2, 3, 5, 8],
  prompt: [...QUESTION_TYPES, 'describe, thinking', 'json, thinking', 'no picture', 'two pictures'],
  temperature: [0, 0.3, 0.7, 1, 1.5],
  filter: ['none', 'topK', 'topP', 'minP', 'all and penalty'] as const,
  ending: ['stop', 'length', 'stop string', 'past the stop'] as const,
  drafter: ['ngram', 'constructed', 'oracle', 'random', 'adversarial', 'broken', 'eagle', 'eagle + ngram'] as const,
  nodes: [1, 2, 8, 16, 17, 33, 64, 65, 100, 128],
  goesOn: [true, false],
};
type Case = Row<typeof factors>;

/** What one drafter knows of the earlier answers of this file. */
const memory = new NgramMemory();

const FILTERS: Record<Case['filter'], AnswerOptions> = {
  none: {},
  topK: { topK: 4 },
  topP: { topP: 0.8 },
  minP: { minP: 0.2 },
  'all and penalty': { topK: 30, topP: 0.95, minP: 0.01, repetitionPenalty: 1.3 },
};

/** Options that decide what the answer is. */
function optionsOf(row: Case, seed: number): AnswerOptions {
  const most = slow.has(row.isa) ? 8 : 90;
  const ending: Record<Case['ending'], AnswerOptions> = {
    stop: { maxTokens: most },
    length: { maxTokens: 1 + (seed % Math.min(most, 23)) },
    'stop string': { maxTokens: most, stop: ['large', '"s', 'on a'] },
    'past the stop': { maxTokens: Math.min(most, 40), ignoreStop: true },
  };
  return { temperature: row.temperature, seed, ...FILTERS[row.filter], ...ending[row.ending] };
}

const picture = (type: (typeof QUESTION_TYPES)[number], index: number) => {
  const item = questionItems(type, index + 1)[index];
  if (!item) throw new Error(`no scene for ${type}`);
  return { image: Image.fromRaw(renderScene(item.scene), 64, 64), question: item.question };
};

async function openSession(bagel: Bagel, prompt: string, index: number): Promise<Session> {
  const session = bagel.session();
  const type = QUESTION_TYPES.find((t) => prompt.startsWith(t)) ?? 'describe';
  const { image, question } = picture(type, index);
  if (prompt.endsWith('thinking')) await session.addText(THINK_PROMPTS.understanding);
  if (prompt !== 'no picture') await session.addImage(image);
  if (prompt === 'two pictures') await session.addImage(picture('json', index).image);
  await session.addText(question);
  return session;
}

/** Draft heads: one that knows which token follows which in some answers, one of random weights. */
const heads = { known: '', random: '' };
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'hyper-bagel-equality-'));
  await using bagel = await Bagel.load(undefined, { draft: false, cacheTokens: 4096, keepMeasurements: false });
  const { llm } = bagel.config;
  const { bos, eos } = bagel.model.special;
  const next = new Map<number, number>();
  for (const prompt of ['describe', 'json']) {
    using session = await openSession(bagel, prompt, 3);
    const { tokens } = await session.answer({ speculate: 'off', maxTokens: 90 }).result;
    for (const [i, token] of [bos, ...tokens].entries()) next.set(token, tokens[i] ?? eos);
  }
  const embeddings = await bagel.model.weights.embedTokens.floats();
  heads.known = await writeHead(path.join(folder, 'known'), bigramConfig, bigramHead(llm, embeddings, next));
  const ids = Array.from({ length: 200 }, (_, i) => 3 * i + 1);
  const json = { draft_vocab_size: ids.length, num_hidden_layers: 2 };
  heads.random = await writeRandomHead(path.join(folder, 'random'), llm, { json, parts: { ids, qkNorm: true } });
}, 300_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

function drafterFor(row: Case, answer: readonly number[], vocabulary: number, seed: number): Speculate {
  const makers: Record<Case['drafter'], () => Speculate> = {
    ngram: () => new NgramDrafter({ memory }),
    eagle: () => 'eagle',
    'eagle + ngram': () => ['eagle', new NgramDrafter({ memory })],
    oracle: () => oracle(answer, 1 + (seed % 9)),
    constructed: () => constructed(answer, vocabulary, seed),
    random: () => randomTrees(vocabulary, seed),
    adversarial: () => adversarial(answer, vocabulary, seed),
    broken: () => {
      const kinds = Object.values(broken(answer, vocabulary));
      return (kinds[seed % kinds.length] as () => Drafter)();
    },
  };
  return makers[row.drafter]();
}

/** What must be equal. */
const essence = ({ text, tokens, finishReason, promptTokens, seed }: Answer) => ({
  text,
  tokens,
  finishReason,
  promptTokens,
  seed,
});

/** All answers, side by side when there are several. */
async function answerAll(bagel: Bagel, items: (AnswerOptions & { session: Session })[]): Promise<Answer[]> {
  const [first] = items;
  if (items.length === 1 && first) return [await first.session.answer(first).result];
  const answers: Answer[] = [];
  for await (const news of bagel.answerMany(items, { batch: items.length })) {
    if ('error' in news) throw news.error;
    if ('answer' in news) answers[news.index] = news.answer;
  }
  return answers;
}

interface Call {
  isa: string;
  dtype: 'f32' | 'bf16';
  threads: number;
  rows: Case[];
}

/** Rows of one call share its model and its batch. */
function calls(rng: Rng): { calls: Call[]; array: CoveringArray<typeof factors> } {
  // big trees take minutes in software
  const array = new CoveringArray(factors, ({ isa, nodes }) => !slow.has(isa) || nodes <= 17);
  const made: Call[] = [];
  for (let count = 0; count < ANSWERS; ) {
    const first = array.next(rng, { isa: often[Math.floor(rng() * often.length)] as string });
    const { isa, dtype, threads, batch } = first;
    const rows = [first];
    while (rows.length < batch) rows.push(array.next(rng, { isa, dtype, threads, batch }));
    made.push({ isa, dtype, threads, rows });
    count += rows.length;
  }
  return { calls: made, array };
}

const plan = calls(seeded(4));
const groups = factors.isa
  .flatMap((isa) =>
    factors.dtype.map((dtype) => ({ isa, dtype, calls: plan.calls.filter((c) => c.isa === isa && c.dtype === dtype) })),
  )
  .filter(({ calls }) => calls.length > 0);

test('the array covers what it should', () => {
  const rows = plan.calls.flatMap((call) => call.rows);
  expect(rows.length).toBeGreaterThanOrEqual(ANSWERS);
  for (const [name, levels] of Object.entries(factors)) {
    for (const level of levels)
      expect(
        rows.some((row) => row[name as keyof Case] === level),
        `${name} ${level}`,
      ).toBe(true);
  }
  const { met, all } = plan.array.pairs;
  expect(met / all).toBeGreaterThan(full ? 0.95 : 0.75);
});

/** Drafted tokens that were accepted, in all answers and of heads: without any, this file would prove little. */
let accepted = 0;
let acceptedOfHeads = 0;

describe.each(groups)('$isa $dtype', ({ isa, dtype, calls }) => {
  let alone: Bagel;
  const teams = new Map<number, Bagel>();
  beforeAll(async () => {
    alone = await Bagel.load(undefined, { isa, dtype, threads: 1, cacheTokens: 4096, draft: false });
  });
  afterAll(async () => {
    for (const bagel of [alone, ...teams.values()]) await bagel.dispose();
  });
  const team = async (threads: number): Promise<Bagel> => {
    const draft = threads % 2 === 0 ? heads.random : heads.known;
    const bagel =
      teams.get(threads) ?? (await Bagel.load(undefined, { isa, dtype, threads, cacheTokens: 8192, draft }));
    teams.set(threads, bagel);
    return bagel;
  };

  test.each(calls.map((call, i) => ({ i, ...call, batch: call.rows.length })))(
    'call $i: $batch answers on $threads threads',
    { timeout: 600_000 },
    async ({ i, rows, threads }) => {
      const bagel = await team(threads);
      const vocabulary = bagel.model.vocabulary;
      const expected: Answer[] = [];
      const next: (Answer | undefined)[] = [];
      const items: (AnswerOptions & { session: Session })[] = [];
      for (const [k, row] of rows.entries()) {
        const seed = 1000 * i + k;
        const scene = (7 * i + k) % 20;
        const options = optionsOf(row, seed);
        using reference = await openSession(alone, row.prompt, scene);
        const answer = await reference.answer({ ...options, speculate: 'off' }).result;
        expected.push(answer);
        if (row.goesOn) {
          await reference.addText('are you sure?');
          next[k] = await reference.answer({ maxTokens: 6, seed: 5, speculate: 'off' }).result;
        }
        const { eos } = bagel.model.special;
        const known = answer.finishReason === 'stop' ? [...answer.tokens, eos] : answer.tokens;
        items.push({
          session: await openSession(bagel, row.prompt, scene),
          ...options,
          speculate: drafterFor(row, known, vocabulary, seed),
          treeNodes: row.nodes,
        });
      }
      const answers = await answerAll(bagel, items);
      for (const [k, row] of rows.entries()) {
        const answer = answers[k] as Answer;
        const { session } = items[k] as { session: Session };
        const what = JSON.stringify(row);
        expect(essence(answer), what).toEqual(essence(expected[k] as Answer));
        const { speculation } = answer.stats;
        accepted += speculation.accepted;
        if (row.drafter === 'eagle') acceptedOfHeads += speculation.accepted;
        if (row.drafter === 'adversarial') expect(speculation.accepted, what).toBe(0);
        if (row.drafter === 'oracle' && row.nodes > 2 && answer.tokens.length > 2) {
          expect(speculation.accepted, what).toBeGreaterThan(0);
        }
        if (row.goesOn) {
          await session.addText('are you sure?');
          const more = await session.answer({ maxTokens: 6, seed: 5, speculate: 'off' }).result;
          expect(essence(more), `after ${what}`).toEqual(essence(next[k] as Answer));
        }
        session.dispose();
      }
    },
  );

  test('every page is free again', () => {
    for (const bagel of [alone, ...teams.values()]) expect(bagel.model.pool.free).toBe(bagel.model.pool.total);
  });
});

test('drafts were accepted', () => {
  expect(accepted).toBeGreaterThan(ANSWERS);
  expect(acceptedOfHeads).toBeGreaterThan(ANSWERS / 50);
});
