// What the engine does with drafters that break the rules, with answers that end early, and what it tells about rounds.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { HyperBagelError } from '../../lib/errors.js';
import type { Answer, AnswerOptions, RoundReport } from '../../lib/models/bagel/answer.js';
import { Bagel } from '../../lib/models/bagel/bagel.js';
import type { HostDrafter } from '../../lib/speculative/drafter.js';
import { broken, chain, constructed, oracle, randomTrees, ScriptedDrafter } from './drafters.js';

let bagel: Bagel;
let plain: Answer;
/** The answer with the token that ends it. */
let known: number[];
let vocabulary = 0;

async function ask(options: AnswerOptions): Promise<Answer> {
  using session = bagel.session();
  await session.addImage('examples/scene.png');
  await session.addText('describe the image.');
  return await session.answer(options).result;
}

async function failure(work: Promise<unknown>): Promise<HyperBagelError> {
  try {
    await work;
  } catch (error) {
    if (HyperBagelError.isInstance(error)) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

beforeAll(async () => {
  bagel = await Bagel.load();
  vocabulary = bagel.model.vocabulary;
  plain = await ask({ speculate: 'off' });
  known = [...plain.tokens, bagel.model.special.eos];
});
afterAll(() => bagel.dispose());

describe('drafters that break the rules', () => {
  test.each(Object.keys(broken([], 1)))('%s', async (name) => {
    const drafter = (broken(known, vocabulary)[name] as () => ScriptedDrafter)();
    const answer = await ask({ speculate: drafter, treeNodes: 16 });
    expect(answer.tokens).toEqual(plain.tokens);
    const { speculation } = answer.stats;
    const harmless = ['nothing', 'null', 'an empty tree', 'more than asked for'].includes(name);
    if (harmless) expect(speculation.note).toBeUndefined();
    else expect(speculation.note).toMatch(/^the drafter failed: /);
    if (name !== 'fails to start') expect(speculation.accepted).toBeGreaterThan(0);
    expect(await ask({ speculate: 'off' })).toMatchObject({ tokens: plain.tokens });
  });

  test('one for another vocabulary is refused before any work', async () => {
    using session = bagel.session();
    await session.addText('describe the image.');
    const before = session.tokens;
    const drafter = new ScriptedDrafter('foreign', () => undefined, vocabulary + 1);
    expect(() => session.answer({ speculate: drafter })).toThrowError(
      expect.objectContaining({ code: 'BAD_OPTION', operand: 'speculate' }),
    );
    expect(drafter.calls.start).toBe(0);
    expect(session.tokens).toBe(before);
    await session.answer({ speculate: new ScriptedDrafter('fits', () => undefined, vocabulary), maxTokens: 2 }).result;
  });

  test.each([
    { speculate: 'fast' as 'off' },
    { speculate: 7 as unknown as 'off' },
    { treeNodes: 0 },
    { treeNodes: 129 },
    { treeNodes: 1.5 },
  ])('%o is refused', async (options) => {
    expect(await failure(ask(options))).toMatchObject({ code: 'BAD_OPTION', operand: Object.keys(options)[0] });
  });
});

describe('the drafter hears', () => {
  test('the conversation at the start, every token once, the end once', async () => {
    const drafter = oracle(known);
    const answer = await ask({ speculate: drafter });
    expect(drafter.emitted).toEqual(known);
    expect(drafter.calls).toMatchObject({ start: 1, finish: 1 });
    const { bos, eos } = bagel.model.special;
    expect(drafter.prompt.slice(0, 1)).toEqual([bos]);
    expect(drafter.prompt).toEqual(expect.arrayContaining([...bagel.model.encode('describe the image.'), eos]));
    expect(answer.stats.steps).toBe(drafter.calls.observe);
  });

  test('budgets within the limits', async () => {
    const budgets: { nodes: number; depth: number }[] = [];
    const drafter = new ScriptedDrafter('nosy', (_, budget) => {
      budgets.push({ ...budget });
      return undefined;
    });
    await ask({ speculate: drafter, treeNodes: 9, maxTokens: 5 });
    expect(budgets.length).toBeGreaterThan(0);
    for (const { nodes, depth } of budgets) {
      expect(nodes).toBeGreaterThan(0);
      expect(nodes).toBeLessThanOrEqual(17); // eight for a round, a bonus token, eight for the next round
      expect(depth).toBeGreaterThan(0);
      expect(depth).toBeLessThanOrEqual(127);
    }
    await ask({ speculate: drafter, treeNodes: 1, maxTokens: 3 });
    expect(drafter.calls.propose).toBe(budgets.length);
  });
});

describe('numbers', () => {
  test('of an oracle that knows six tokens', async () => {
    const { stats, tokens } = await ask({ speculate: oracle(known, 6), treeNodes: 32 });
    const { speculation } = stats;
    expect(speculation).toMatchObject({ drafter: 'oracle', note: undefined });
    expect(stats.steps).toBe(Math.ceil(known.length / 7));
    expect(speculation.accepted).toBeGreaterThanOrEqual(known.length - stats.steps - 1);
    expect(speculation.accepted).toBeLessThanOrEqual(speculation.drafted);
    expect(speculation.meanAccepted).toBeCloseTo(speculation.accepted / stats.steps, 10);
    expect(speculation.meanAcceptedWithBonus).toBeCloseTo(1 + speculation.meanAccepted, 10);
    expect(speculation.nodesPerRound).toBeLessThanOrEqual(7);
    expect(tokens).toEqual(plain.tokens);
  });

  test('one tree serves two rounds, the second queued before the first has ended', async () => {
    const once = (tokens: readonly number[]) =>
      new ScriptedDrafter('once', (emitted) => (emitted.length === 0 ? chain(tokens) : undefined));
    const right = await ask({ speculate: once(known.slice(0, 13)), treeNodes: 7 });
    expect(right.tokens).toEqual(plain.tokens);
    expect(right.stats.speculation).toMatchObject({ rounds: 2, accepted: 12, drafted: 12 });
    // the model goes on otherwise: nothing of the tree is left for the second
    const wrong = [...known.slice(0, 6), ...Array.from({ length: 7 }, () => vocabulary - 1)];
    const misled = await ask({ speculate: once(wrong), treeNodes: 7 });
    expect(misled.tokens).toEqual(plain.tokens);
    expect(misled.stats.speculation).toMatchObject({ rounds: 1, accepted: 6, drafted: 6 });
  });

  test('rounds show their trees, and the accepted paths are the answer', async () => {
    const rounds: RoundReport[] = [];
    const drafter = constructed(known, vocabulary, 3);
    const answer = await ask({ speculate: drafter, treeNodes: 40, onRound: (round) => rounds.push(round) });
    expect(rounds.length).toBe(answer.stats.steps);
    const told = rounds.flatMap(({ accepted, tokens, targets, parents, index }) => {
      expect(accepted[0]).toBe(0);
      for (let i = 1; i < accepted.length; i++) expect(parents[accepted[i] as number]).toBe(accepted[i - 1]);
      const given = [...accepted.slice(1).map((i) => tokens[i]), targets[accepted.at(-1) as number]];
      expect(given).toEqual(known.slice(index, index + given.length));
      return given;
    });
    expect(told.slice(0, known.length)).toEqual(known);
  });

  test('a stop token in the middle of an accepted path ends the answer there', async () => {
    const { eos } = bagel.model.special;
    const drafter = new ScriptedDrafter('beyond the end', (emitted) =>
      chain([...known.slice(emitted.length), 5, 6, 7, eos].slice(0, 100)),
    );
    const answer = await ask({ speculate: drafter, treeNodes: 128 });
    expect(answer).toMatchObject({ tokens: plain.tokens, finishReason: 'stop' });
    expect(answer.stats.steps).toBe(1);
  });

  test('the length limit in the middle of a path too', async () => {
    for (const maxTokens of [1, 2, 6, 7, 8]) {
      const answer = await ask({ speculate: oracle(known, 20), maxTokens });
      expect(answer.tokens).toEqual(plain.tokens.slice(0, maxTokens));
      expect(answer.finishReason).toBe('length');
    }
  });
});

describe('answers that end in the middle of a round', () => {
  const wide = (seed: number): HostDrafter => randomTrees(vocabulary, seed);
  const sound = async () =>
    expect((await ask({ speculate: 'off', maxTokens: 12 })).tokens).toEqual(plain.tokens.slice(0, 12));

  test('by a stop string', async () => {
    for (let k = 0; k < 10; k++) {
      const answer = await ask({ speculate: wide(k), treeNodes: 64, stop: ['on a'] });
      expect(answer.text).toBe(plain.text.slice(0, plain.text.indexOf('on a')));
      await sound();
    }
  });

  test('by the consumer, who leaves after any piece', async () => {
    for (let pieces = 1; pieces <= 6; pieces++) {
      using session = bagel.session();
      await session.addText('describe the image.');
      const before = session.tokens;
      let seen = 0;
      for await (const _ of session.answer({ speculate: wide(pieces), treeNodes: 100, ignoreStop: true })) {
        if (++seen === pieces) break;
      }
      expect(session.tokens).toBe(before);
      await sound();
    }
  });

  test('by cancellation, at once or from within the drafter', async () => {
    for (let calls = 0; calls <= 5; calls++) {
      const controller = new AbortController();
      const trees = wide(calls);
      let left = calls;
      const drafter = new ScriptedDrafter('impatient', (_, budget) => {
        if (left-- === 0) controller.abort();
        return trees.propose(budget);
      });
      const options = { speculate: drafter, treeNodes: 100, ignoreStop: true, maxTokens: 200 };
      expect((await failure(ask({ ...options, signal: controller.signal }))).code).toBe('CANCELLED');
      await sound();
    }
    const free = bagel.model.pool.free;
    expect((await failure(ask({ speculate: wide(1), signal: AbortSignal.abort() }))).code).toBe('CANCELLED');
    expect(bagel.model.pool.free).toBe(free);
    expect(free).toBe(bagel.model.pool.total);
  });

  test('near the end of the cache: trees are cut to what is left, the answer is whole', async () => {
    const small = await Bagel.load(undefined, { cacheTokens: 192 });
    const options = { maxTokens: 40, ignoreStop: true };
    const expected = await small.ask('describe the image.', { ...options, speculate: 'off' });
    const answer = await small.ask('describe the image.', { ...options, speculate: wide(9), treeNodes: 128 });
    expect(answer.tokens).toEqual(expected.tokens);
    await small.dispose();
  });
});
