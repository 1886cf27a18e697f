// Several drafters for one answer: their candidates in one tree under one budget, on the host and on the device.
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer, AnswerOptions, RoundReport, Speculate } from '../../lib/models/bagel/answer.js';
import { Bagel } from '../../lib/models/bagel/bagel.js';
import { MergedDrafter } from '../../lib/speculative/merged.js';
import { broken, chain, oracle, ScriptedDrafter } from './drafters.js';
import { writeRandomHead } from './eagle-kit.js';

let root: string;
let bagel: Bagel;
let plain: Answer;

const open = async () => {
  const session = bagel.session();
  await session.addImage('examples/scene.png');
  await session.addText('describe the image.');
  return session;
};
async function ask(options: AnswerOptions): Promise<Answer> {
  using session = await open();
  return await session.answer(options).result;
}

beforeAll(async () => {
  root = await mkdtemp(path.join(os.tmpdir(), 'hyper-bagel-merged-'));
  bagel = await Bagel.load(undefined, { draft: false, cacheTokens: 4096 });
  const head = await writeRandomHead(path.join(root, 'head'), bagel.config.llm);
  await bagel.dispose();
  bagel = await Bagel.load(undefined, { draft: head, cacheTokens: 8192, keepMeasurements: false });
  plain = await ask({ speculate: 'off' });
});
afterAll(async () => {
  await bagel.dispose();
  await rm(root, { recursive: true, force: true });
});

/** Knows the answer, and is all but certain; `knows` says after how many tokens. */
const certain = (depth: number, knows: (emitted: number) => boolean = () => true) =>
  new ScriptedDrafter('certain', (emitted, budget) => {
    const all = [...plain.tokens, bagel.model.special.eos];
    const next = all.slice(emitted.length, emitted.length + Math.min(depth, budget.nodes));
    if (next.length === 0 || !knows(emitted.length)) return undefined;
    return { ...chain(next), values: next.map((_, i) => -0.01 * (i + 1)) };
  });

describe('two drafters on the host', () => {
  test('give together what each gives where it knows', async () => {
    const half = plain.tokens.length / 2;
    const first = () => certain(4, (n) => n < half);
    const second = () => certain(4, (n) => n >= half);
    const of = async (speculate: Speculate) => {
      const answer = await ask({ speculate, treeNodes: 8 });
      expect(answer.tokens).toEqual(plain.tokens);
      return answer.stats;
    };
    const [a, b, both, all] = [
      await of(first()),
      await of(second()),
      await of([first(), second()]),
      await of(certain(4)),
    ];
    expect(both.speculation.drafter).toBe('certain + certain');
    expect(both.steps).toBeLessThan(Math.min(a.steps, b.steps));
    expect(both.steps).toBeLessThanOrEqual(all.steps + 1);
  });

  test('and one that breaks costs the speed-up only', async () => {
    for (const make of Object.values(broken(plain.tokens, bagel.model.vocabulary))) {
      const answer = await ask({ speculate: [make(), oracle(plain.tokens)], treeNodes: 8 });
      expect(answer.text).toBe(plain.text);
    }
  });

  test('keep their own state when they are forked and reset', () => {
    const merged = new MergedDrafter([oracle([1, 2, 3]), oracle([7, 8, 9])]);
    merged.start([]);
    merged.observe([1]);
    const fork = merged.fork();
    fork.observe([2]);
    const tokens = (drafter: MergedDrafter) => Array.from(drafter.propose({ nodes: 9, depth: 1 })?.tokens ?? []);
    expect(tokens(merged)).toEqual([2, 8]);
    expect(tokens(fork)).toEqual([3, 9]);
    merged.reset();
    expect(tokens(merged)).toEqual([1, 7]);
    expect(merged.propose({ nodes: 1, depth: 3 })?.size).toBe(1);
  });
});

describe('one on the host beside a head on the device', () => {
  test.each([3, 8, 40])('the best candidates of both fill the budget of %i nodes', async (treeNodes) => {
    const alone = await ask({ speculate: certain(4), treeNodes });
    const trees: RoundReport[] = [];
    const options = { treeNodes, onRound: (round: RoundReport) => trees.push(round) };
    const both = await ask({ ...options, speculate: ['eagle', certain(4)] });
    expect(both.text).toBe(plain.text);
    expect(both.stats.speculation.drafter).toBe('eagle + certain');
    // what the host is sure of comes first, what the head thinks of fills the rest
    expect(both.stats.steps).toBeLessThanOrEqual(alone.stats.steps);
    expect(both.stats.speculation.accepted).toBeGreaterThanOrEqual(alone.stats.speculation.accepted);
    const early = trees.slice(0, -5);
    expect(early.length).toBeGreaterThan(2);
    for (const { tokens } of early) expect(tokens.length).toBe(treeNodes);
  });

  test('where the host has no idea, the head drafts alone', async () => {
    const silent = new ScriptedDrafter('silent', () => undefined);
    const head = await ask({ speculate: 'eagle', treeNodes: 9 });
    const both = await ask({ speculate: [silent, 'eagle'], treeNodes: 9 });
    expect(both.text).toBe(plain.text);
    expect(both.stats.steps).toBe(head.stats.steps);
    expect(both.stats.speculation.drafted).toBe(head.stats.speculation.drafted);
    expect(silent.emitted).toEqual([...plain.tokens, bagel.model.special.eos]);
  });

  test('sizes by measured cost', async () => {
    for (let i = 0; i < 3; i++) {
      expect((await ask({ speculate: ['eagle', 'ngram'] })).text).toBe(plain.text);
      expect((await ask({ speculate: ['eagle', certain(4)] })).text).toBe(plain.text);
    }
  });

  test('answers beside it in a batch have the trees of their own drafters only', async () => {
    const alone = await ask({ speculate: certain(4), treeNodes: 9 });
    const sessions = [await open(), await open(), await open()];
    const kinds: Speculate[] = ['eagle', certain(4), 'off'];
    const answers: Answer[] = [];
    // twice: the rows of the second batch had another drafter in the first
    for (const order of [kinds, [certain(4), 'off', 'eagle'] as Speculate[]]) {
      const items = order.map((speculate, i) => ({
        session: sessions[i] as (typeof sessions)[0],
        speculate,
        treeNodes: 9,
      }));
      for await (const news of bagel.answerMany(items, { batch: 3 })) {
        if ('error' in news) throw news.error;
        if ('answer' in news) answers.push(news.answer);
      }
      for (const session of sessions) session.dispose();
      sessions.splice(0, 3, await open(), await open(), await open());
    }
    for (const session of sessions) session.dispose();
    expect(answers.length).toBe(6);
    for (const answer of answers) {
      const { drafter, drafted } = answer.stats.speculation;
      expect(answer.text).toBe(plain.text);
      if (drafter === 'certain') expect(drafted).toBe(alone.stats.speculation.drafted);
      if (drafter === 'off') expect(drafted).toBe(0);
      if (drafter === 'eagle') expect(drafted).toBeGreaterThan(plain.tokens.length);
    }
  });
});

test('lists that make no sense are refused', async () => {
  const twice = oracle([1]);
  for (const speculate of [
    [],
    ['off'],
    ['auto'],
    [['ngram']],
    ['ngram', 'ngram'],
    [twice, twice],
    [7],
    [null],
    ['bpe'],
  ]) {
    await expect(
      ask({ speculate: speculate as unknown as Speculate }),
      JSON.stringify(speculate),
    ).rejects.toMatchObject({
      code: 'BAD_OPTION',
      operand: 'speculate',
    });
  }
  await expect(
    ask({ speculate: [oracle([1]), new ScriptedDrafter('other', () => undefined, 7)] }),
  ).rejects.toMatchObject({
    code: 'BAD_OPTION',
  });
  await using headless = await Bagel.load(undefined, { draft: false, cacheTokens: 1024, keepMeasurements: false });
  using session = headless.session();
  expect(headless.hasDraftHead).toBe(false);
  expect(() => session.answer({ speculate: ['ngram', 'eagle'] })).toThrow(
    expect.objectContaining({ code: 'NOT_SUPPORTED' }),
  );
});
