// The coupled rule through the very ops of a round: tree_build, penalize, sample at every node, tree_verify. Its tokens do not
// depend on the drafts, and their law is that of plain sampling.
import { afterAll, describe, expect, test } from 'vitest';
import { Context, ops } from '../../lib/index.js';
import { type Rng, seeded } from '../kit/cases.js';
import { chiSquare, critical, ONE_IN_A_MILLION } from '../kit/chi-square.js';
import { pick } from '../kit/draft-trees.js';
import { exponential, philox } from '../kit/philox.js';
import { plain } from './law.js';
import { type Pair, randomPair, type Settings } from './model.js';
import { type Law, largest } from './rules.js';

const cx = await Context.create({ device: 'cpu', threads: 2 });
afterAll(() => cx.dispose());

const BATCH = 8192;
const NODES = 6;
/** Tokens of an answer: the prompt's last one, which only the penalty sees, and two more. */
const LENGTH = 3;
const V = 5;

/** Where the noise of a trial comes from. */
interface Key {
  seed: [number, number];
  /** Index in the answer of the first token. */
  start: number;
}

/** Candidates [token, parent], best first, for a context. */
type Drafting = (pair: Pair, after: readonly number[], key: Key, rng: Rng) => [number, number][];

/** log q + G by the generator's definition, for the token at a position. */
function perturbed(law: Law, { seed, start }: Key, depth: number): number[] {
  return law.map((q, id) => {
    const words = philox(seed, [Math.floor(id / 4), start + depth, 0, 0]);
    return Math.log(q) - Math.log(exponential(words[id % 4] as number));
  });
}

const ranked = (scores: readonly number[]) =>
  [...scores.keys()].sort((a, b) => (scores[b] as number) - (scores[a] as number) || a - b);

/** The best two tokens by some scores, and the best one after each. */
const byScores =
  (scores: (pair: Pair, after: readonly number[], key: Key, depth: number) => number[]): Drafting =>
  (pair, after, key) => {
    const first = ranked(scores(pair, after, key, after.length)).slice(0, 2);
    const children = first.map((token, i): [number, number] => {
      const next = [...after, token];
      return [ranked(scores(pair, next, key, next.length))[0] as number, i];
    });
    return [...first.map((token): [number, number] => [token, -1]), ...children];
  };

const draftings: Record<string, Drafting> = {
  'the best': byScores((pair, after) => [...pair.drafter(after)]),
  'the best under the same noise': byScores((pair, after, key, depth) => perturbed(pair.drafter(after), key, depth)),
  'an oracle': byScores((pair, after, key, depth) => perturbed(pair.target(after), key, depth)),
  drawn: (pair, after, _, rng) => {
    const first = [pick(rng, pair.drafter(after)), pick(rng, pair.drafter(after))];
    return [
      ...first.map((token): [number, number] => [token, -1]),
      ...first.map((token, i): [number, number] => [pick(rng, pair.drafter([...after, token])), i]),
    ];
  },
  'always wrong': byScores((pair, after, key, depth) => perturbed(pair.target(after), key, depth).map((x) => -x)),
};

interface Options {
  pair: Pair;
  settings: Settings;
  count: number;
  drafting?: Drafting;
  key?: (trial: number) => Key;
  /** Breaks the round on purpose. */
  broken?: 'one noise for all positions' | 'a penalty that ignores the path';
}

const bySeed = (trial: number): Key => ({ seed: [trial, 77], start: 1 });
const byPosition = (trial: number): Key => ({ seed: [123, 4], start: 1 + 2 * trial });

/** The two tokens of every trial, and the mean number of drafts that a round accepted. */
async function answers(options: Options): Promise<{ tokens: [number, number][]; accepted: number }> {
  const tokens: [number, number][] = [];
  let [accepted, rounds] = [0, 0];
  for (let from = 0; from < options.count; from += BATCH) {
    const b = Math.min(BATCH, options.count - from);
    const keys = Array.from({ length: b }, (_, i) => (options.key ?? bySeed)(from + i));
    const batch = await answerBatch(options, keys, seeded(from));
    tokens.push(...batch.tokens);
    accepted += batch.accepted;
    rounds += batch.rounds;
  }
  return { tokens, accepted: accepted / rounds };
}

async function answerBatch({ pair, settings, drafting, broken }: Options, keys: readonly Key[], rng: Rng) {
  const b = keys.length;
  const i32 = (list: ArrayLike<number>, ...shape: number[]) => cx.tensor('i32', shape, Int32Array.from(list));
  const all = (value: number) => i32(new Int32Array(b).fill(value), b);
  const setting = (value: number) => cx.tensor('f32', [b], new Float32Array(b).fill(value));
  const history = new Int32Array(b * LENGTH);
  const state = {
    tokens: all(0),
    positions: all(1),
    slots: all(1),
    output: i32(
      keys.map(({ start }) => start),
      b,
    ),
    finished: all(0),
    history: i32(history, b, LENGTH),
  };
  const limit = i32(
    keys.map(({ start }) => start + 2),
    b,
  );
  const after: number[][] = keys.map(() => []);
  let [accepted, rounds] = [0, 0];
  while (after.some((list) => list.length < 2)) {
    const drafts = after.map((list, i) =>
      list.length < 2 && drafting ? drafting(pair, list, keys[i] as Key, rng) : [],
    );
    const c = Math.max(1, ...drafts.map((list) => list.length));
    const table = { tokens: new Int32Array(b * c), parents: new Int32Array(b * c), values: new Float32Array(b * c) };
    drafts.forEach((list, s) => {
      list.forEach(([token, parent], i) => {
        table.tokens[s * c + i] = token;
        table.parents[s * c + i] = parent;
        table.values[s * c + i] = -i; // in this order
      });
    });
    const tree = ops.treeBuild(cx, {
      tokens: i32(table.tokens, b, c),
      parents: i32(table.parents, b, c),
      values: cx.tensor('f32', [b, c], table.values),
      count: i32(
        drafts.map((list) => list.length),
        b,
      ),
      budget: all(NODES),
      root: state.tokens,
      rootPosition: state.positions,
      rootSlot: state.slots,
      output: state.output,
      limit,
      capacity: all(1024),
      finished: state.finished,
      capacityRows: NODES * b,
      vocabulary: V,
    });
    const n = NODES * b;
    const [used] = await tree.rows.data();
    const [token, parent, seq, first] = await Promise.all(
      [tree.token, tree.parent, tree.seq, tree.first].map((tensor) => tensor.data()),
    );
    const context = (row: number): number[] => {
      const p = parent?.[row] as number;
      const s = seq?.[row] as number;
      return p < 0 ? (after[s] as number[]) : [...context((first?.[s] as number) + p), token?.[row] as number];
    };
    const scores = new Float32Array(n * V);
    for (let row = 0; row < (used as number); row++) scores.set(pair.raw?.(context(row)) ?? [], row * V);
    const logits = cx.tensor('f32', [n, V], scores);
    const path =
      broken === 'a penalty that ignores the path' ? {} : { token: tree.token, parent: tree.parent, first: tree.first };
    if (settings.repetitionPenalty) {
      // the answer so far: the prompt's last token, and what was given
      const count = i32(
        after.map((list) => 1 + list.length),
        b,
      );
      const penalty = setting(settings.repetitionPenalty);
      ops.penalize(cx, { logits, penalty, history: state.history, count, seq: tree.seq, rows: tree.rows, ...path });
    }
    const target = ops.sample(cx, {
      logits,
      seq: tree.seq,
      temperature: setting(settings.temperature ?? 1),
      topK: all(settings.topK ?? 0),
      topP: setting(settings.topP ?? 1),
      minP: setting(settings.minP ?? 0),
      seed: i32(
        keys.flatMap(({ seed }) => seed),
        b,
        2,
      ),
      position: broken === 'one noise for all positions' ? cx.zeros('i32', [n]) : tree.index,
      rows: tree.rows,
    });
    const out = ops.treeVerify(cx, {
      target,
      token: tree.token,
      parent: tree.parent,
      first: tree.first,
      stop: i32(new Int32Array(b).fill(-1), b, 1),
      limit,
      ...state,
      width: NODES,
    });
    const event = await out.event.data();
    after.forEach((list, i) => {
      const given = event[i * (4 + NODES)] as number;
      if (given === 0) return;
      for (let j = 0; j < given; j++) list.push(event[i * (4 + NODES) + 4 + j] as number);
      accepted += given - 1;
      rounds++;
    });
  }
  return { tokens: after as [number, number][], accepted, rounds };
}

function distance(pair: Pair, tokens: readonly [number, number][]) {
  const counts = new Array<number>(V * V).fill(0);
  for (const [a, b] of tokens) counts[a * V + b] = (counts[a * V + b] as number) + 1;
  const { value, freedom } = chiSquare(counts, Array.from(plain(pair, 2)), 5);
  const bound = critical(freedom, ONE_IN_A_MILLION);
  return { value, bound, figures: `chi-square ${value.toFixed(1)} on ${freedom}, bound ${bound.toFixed(1)}` };
}

const asked: [string, Settings][] = [
  ['temperature 1', {}],
  ['filters', { temperature: 1.4, topK: 4, topP: 0.93, minP: 0.07 }],
  ['a repetition penalty', { temperature: 0.8, repetitionPenalty: 1.7 }],
  ['all of them', { temperature: 1.3, topK: 4, topP: 0.97, minP: 0.03, repetitionPenalty: 1.4 }],
];
const COUNT = 16 * BATCH;

describe.each(asked)('%s', (name, settings) => {
  const pair = randomPair(41, V, 'near', settings);

  test('the law of two tokens, one seed per answer', async () => {
    const { tokens, accepted } = await answers({ pair, settings, count: COUNT, drafting: draftings.drawn as Drafting });
    const { value, bound, figures } = distance(pair, tokens);
    console.log(`${name}: ${figures}, n ${COUNT}, accepted ${accepted.toFixed(2)} drafts a round`);
    expect(value).toBeLessThan(bound);
  });

  test('the tokens are those of plain steps, whatever the drafts', async () => {
    const { tokens } = await answers({ pair, settings, count: BATCH });
    const accepted: string[] = [];
    for (const [kind, drafting] of Object.entries(draftings)) {
      const found = await answers({ pair, settings, count: BATCH, drafting });
      expect(found.tokens, kind).toEqual(tokens);
      accepted.push(`${kind} ${found.accepted.toFixed(2)}`);
    }
    console.log(`${name}, accepted drafts a round: ${accepted.join(', ')}`);
  });
});

test('the law of two tokens, all positions of one seed, drafts of the same noise', async () => {
  const pair = randomPair(42, V, 'far');
  const drafting = draftings['the best under the same noise'] as Drafting;
  const { tokens, accepted } = await answers({ pair, settings: {}, count: COUNT, drafting, key: byPosition });
  const { value, bound, figures } = distance(pair, tokens);
  console.log(`one seed: ${figures}, n ${COUNT}, accepted ${accepted.toFixed(2)} drafts a round`);
  expect(value).toBeLessThan(bound);
});

test('ties of greedy decoding go to the lowest id, whatever the drafts', async () => {
  for (let seed = 0; seed < 40; seed++) {
    const pair = randomPair(seed, V, 'ties');
    const first = largest(pair.raw?.([]) ?? []);
    const expected = [first, largest(pair.raw?.([first]) ?? [])];
    for (const [kind, drafting] of [['none', undefined] as const, ...Object.entries(draftings)]) {
      const settings = { temperature: 0 };
      const { tokens } = await answers({ pair, settings, count: 3, ...(drafting ? { drafting } : {}) });
      for (const found of tokens) expect(found, kind).toEqual(expected);
    }
  }
});

describe('what is wrong is noticed', () => {
  test('one noise for all positions', async () => {
    const pair = randomPair(41, V, 'near');
    const { tokens } = await answers({ pair, settings: {}, count: COUNT, broken: 'one noise for all positions' });
    const { value, bound, figures } = distance(pair, tokens);
    console.log(`one noise for all positions: ${figures}`);
    expect(value).toBeGreaterThan(10 * bound);
  });

  test('a penalty that ignores the path', async () => {
    const settings = { repetitionPenalty: 1.7 };
    const pair = randomPair(41, V, 'near', settings);
    const broken = 'a penalty that ignores the path';
    const drafting = draftings['an oracle'] as Drafting;
    const { tokens } = await answers({ pair, settings, count: COUNT, drafting, broken });
    const { value, bound, figures } = distance(pair, tokens);
    console.log(`a penalty that ignores the path: ${figures}`);
    expect(value).toBeGreaterThan(10 * bound);
  });
});
