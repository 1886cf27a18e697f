// Many answers in one ragged batch: each is the one that its session gives alone.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer, AnswerManyResult, AnswerOptions, Session } from '../../lib/index.js';
import { Bagel, type HyperBagelError } from '../../lib/index.js';

let bagel: Bagel;
beforeAll(async () => {
  bagel = await Bagel.load(undefined, { threads: 2, cacheTokens: 8192 });
});
afterAll(() => bagel.dispose());

const asks: [question: string, options: AnswerOptions][] = [
  ['describe the image.', { temperature: 0 }],
  ['list the objects as json.', { temperature: 0.8, seed: 3, maxTokens: 60 }],
  ['how many circles are there?', { temperature: 1.2, seed: 4, topK: 20, ignoreStop: true, maxTokens: 25 }],
  ['describe this picture in detail.', { temperature: 0.5, seed: 5, repetitionPenalty: 1.3, maxTokens: 40 }],
  ['describe the image.', { temperature: 0, stop: ['large', '.'] }],
  ['what color is the square?', { temperature: 1, seed: 6, topP: 0.9, speculate: 'off' }],
  ['give me a json list of the objects.', { temperature: 0, speculate: 'ngram', treeNodes: 12, maxTokens: 50 }],
];

async function sessionFor(question: string, on = bagel): Promise<Session> {
  const session = on.session();
  await session.addText(question);
  return session;
}

const opened = () => Promise.all(asks.map(([question]) => sessionFor(question)));

const free = () => bagel.model.pool.free;

describe('answerMany', () => {
  test('gives each session the answer that it gives alone, whatever the batch', { timeout: 120_000 }, async () => {
    const before = free();
    const alone: Answer[] = [];
    for (const [question, options] of asks) {
      using session = await sessionFor(question);
      alone.push(await session.answer({ ...options, speculate: 'off' }).result);
    }
    for (const batch of [1, 3, 8]) {
      const sessions = await opened();
      const texts = asks.map(() => '');
      const answers: Answer[] = [];
      const items = asks.map(([, options], i) => ({ session: sessions[i] as Session, ...options }));
      for await (const result of bagel.answerMany(items, { batch })) {
        if ('error' in result) throw result.error;
        if ('piece' in result) texts[result.index] += result.piece.text;
        else answers[result.index] = result.answer;
      }
      expect(answers.map(({ tokens }) => tokens)).toEqual(alone.map(({ tokens }) => tokens));
      expect(answers.map(({ finishReason }) => finishReason)).toEqual(alone.map(({ finishReason }) => finishReason));
      expect(texts).toEqual(alone.map(({ text }) => text));
      expect(answers.map(({ text }) => text)).toEqual(texts);
      // the answers are part of the contexts now: the next one sees them
      const next = await sessions[0]?.answer({ maxTokens: 5 }).result;
      expect(next?.promptTokens).toBeGreaterThan((alone[0]?.promptTokens ?? 0) + (alone[0]?.tokens.length ?? 0));
      for (const session of sessions) session.dispose();
    }
    expect(free()).toBe(before);
  });

  test('one is cancelled, the others go on; a session at work is refused', { timeout: 60_000 }, async () => {
    const sessions = await opened();
    const cancel = new AbortController();
    const items = sessions.map((session) => ({ session, ignoreStop: true, maxTokens: 80 }));
    const results: Record<number, AnswerManyResult> = {};
    const all = [
      ...items.slice(0, 3),
      { session: sessions[1] as Session, maxTokens: 5 },
      { ...(items[4] as (typeof items)[0]), signal: cancel.signal },
    ];
    for await (const result of bagel.answerMany(all, { batch: 4 })) {
      if ('piece' in result && result.index === 4) cancel.abort();
      if (!('piece' in result)) results[result.index] = result;
    }
    const codes = Object.fromEntries(
      Object.entries(results).map(([i, r]) => [
        i,
        'error' in r ? r.error.code : r && 'answer' in r && r.answer.tokens.length,
      ]),
    );
    expect(codes).toEqual({ 0: 80, 1: 80, 2: 80, 3: 'BUSY', 4: 'CANCELLED' });
    const after = await sessions[4]?.answer({ maxTokens: 4 }).result;
    expect(after?.tokens).toHaveLength(4);
    for (const session of sessions) session.dispose();
  });

  test('all are cancelled', { timeout: 60_000 }, async () => {
    const sessions = await opened();
    const cancel = new AbortController();
    const items = sessions.map((session) => ({ session, ignoreStop: true, maxTokens: 400 }));
    const run = async () => {
      for await (const _ of bagel.answerMany(items, { batch: 4, signal: cancel.signal })) cancel.abort();
    };
    await expect(run()).rejects.toMatchObject({ code: 'CANCELLED' });
    expect((await sessions[2]?.answer({ maxTokens: 3, ignoreStop: true }).result)?.tokens).toHaveLength(3);
    for (const session of sessions) session.dispose();
  });

  test('answers wait for room in the cache', { timeout: 60_000 }, async () => {
    const small = await Bagel.load(undefined, { threads: 1, cacheTokens: 512 });
    const sessions = await Promise.all([0, 1, 2, 3].map((i) => sessionFor(`how many circles are there? ${i}`, small)));
    const items = sessions.map((session) => ({ session, ignoreStop: true, maxTokens: 150, speculate: 'off' as const }));
    const lengths: number[] = [];
    for await (const result of small.answerMany(items)) {
      if ('error' in result) throw result.error;
      if ('answer' in result) {
        lengths.push(result.answer.tokens.length);
        sessions[result.index]?.dispose();
      }
    }
    expect(lengths).toEqual([150, 150, 150, 150]);
    using last = await sessionFor('one more', small);
    const error = await last.answer({ maxTokens: 3000 }).result.catch((e: HyperBagelError) => e);
    expect(error).toMatchObject({ code: 'CONTEXT_FULL' });
    await small.dispose();
  });

  test('bad calls are refused at once', () => {
    expect(() => bagel.answerMany([{} as never])).toThrow(expect.objectContaining({ code: 'BAD_OPTION' }));
    expect(() => bagel.answerMany([], { batch: 0 })).toThrow(expect.objectContaining({ code: 'BAD_OPTION' }));
  });
});

describe('speculation', () => {
  test('tells what drafts were worth, and shows its trees', { timeout: 60_000 }, async () => {
    const { eos } = bagel.model.special;
    const question = 'describe the image.';
    const plain = await bagel.ask(question, { speculate: 'off', maxTokens: 40 });
    const known = [...plain.tokens, eos];
    let at = 0;
    const oracle = {
      kind: 'host' as const,
      name: 'oracle',
      start: () => {
        at = 0;
      },
      observe: (tokens: readonly number[]) => {
        at += tokens.length;
      },
      propose: () => ({ tokens: known.slice(at, at + 6), parents: [-1, 0, 1, 2, 3, 4].slice(0, known.length - at) }),
      finish: () => {},
      fork: () => oracle,
      reset: () => {},
    };
    const rounds: number[][] = [];
    const answer = await bagel.ask(question, {
      speculate: oracle,
      treeNodes: 7,
      maxTokens: 40,
      onRound: ({ tokens, accepted, index }) => rounds.push([index, tokens.length, accepted.length]),
    });
    expect(answer.tokens).toEqual(plain.tokens);
    const { speculation, steps } = answer.stats;
    expect(speculation.drafter).toBe('oracle');
    expect(steps).toBe(rounds.length);
    expect(rounds[0]).toEqual([0, 7, 7]);
    expect(rounds[1]).toEqual([7, 7, 7]);
    expect(speculation.accepted).toBe(rounds.reduce((sum, [, , n = 0]) => sum + n - 1, 0));
    expect(speculation.meanAcceptedWithBonus).toBeCloseTo(speculation.meanAccepted + 1, 12);
    expect(speculation.meanAccepted).toBeGreaterThan(4);
    expect(speculation.draftMs + speculation.verifyMs + speculation.otherMs).toBeGreaterThan(0);
    expect(plain.stats.speculation).toMatchObject({ drafter: 'off', rounds: 0, drafted: 0, accepted: 0 });
  });

  test('bad choices are refused', async () => {
    using session = await sessionFor('hello');
    const choose = (options: object) => () => session.answer(options);
    expect(choose({ speculate: 'other' })).toThrow(expect.objectContaining({ code: 'BAD_OPTION' }));
    expect(choose({ treeNodes: 129 })).toThrow(expect.objectContaining({ code: 'BAD_OPTION' }));
    expect(choose({ treeNodes: 0 })).toThrow(expect.objectContaining({ code: 'BAD_OPTION' }));
    expect(choose({ repetitionPenalty: 0 })).toThrow(expect.objectContaining({ code: 'BAD_OPTION' }));
    expect(choose({ speculate: { kind: 'host', name: 'x', vocabulary: 3 } })).toThrow(
      expect.objectContaining({ code: 'BAD_OPTION', operand: 'speculate' }),
    );
  });
});
