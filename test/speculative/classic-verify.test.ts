// The op against the float64 rules: at every breakpoint of every coin, on large trees, and in its own draws.
import { afterAll, describe, expect, test } from 'vitest';
import { Context, ops } from '../../lib/index.js';
import { seeded } from '../kit/cases.js';
import { chiSquare, critical, ONE_IN_A_MILLION } from '../kit/chi-square.js';
import { type DrawnTree, drawTree, pick, randomParents, type Shape } from '../kit/draft-trees.js';
import { type Drafting, distinct, independent, tokensTo, top, topAndOneDrawn } from './drafts.js';
import { outcomes, sum } from './explore.js';
import { plain } from './law.js';
import { type Kind, type Pair, randomPair, type Settings } from './model.js';
import { type DraftTree, type Law, type Rule, recursiveRejection, traversal, type Verdict } from './rules.js';

const cx = await Context.create({ device: 'cpu', threads: 2 });
afterAll(() => cx.dispose());

type Mode = 'traversal' | 'token';
const modes: [Mode, Rule][] = [
  ['traversal', traversal],
  ['token', recursiveRejection],
];

/** A tree with laws in f32, and what its coins should be. */
interface Trial {
  tree: DraftTree;
  target: readonly Law[];
  coins?: readonly number[];
}

/** Verifies many trees in one call, at positions from one on. */
async function verify(mode: Mode, v: number, trials: readonly Trial[], position = 0) {
  const n = trials.reduce((count, { tree }) => count + tree.tokens.length, 0);
  const [target, draft] = [new Float32Array(n * v), new Float32Array(n * v)];
  const [tokens, parents, drawn] = [new Int32Array(n), new Int32Array(n), new Int32Array(n)];
  const coins = new Float32Array(n);
  const first = new Int32Array(trials.length + 1);
  let at = 0;
  trials.forEach(({ tree, target: laws, coins: given }, b) => {
    tree.tokens.forEach((token, i) => {
      target.set(laws[i] as Law, at * v);
      draft.set(tree.rows[i] ?? [], at * v);
      tokens[at] = token;
      parents[at] = tree.parents[i] as number;
      drawn[at] = tree.rows[i] ? 1 : 0;
      coins[at++] = given?.[i] ?? 0;
    });
    first[b + 1] = at;
  });
  const out = cx.scope(() =>
    ops.classicVerify(cx, {
      target: cx.tensor('f32', [n, v], target),
      draft: cx.tensor('f32', [n, v], draft),
      drawn: cx.tensor('i32', [n], drawn),
      token: cx.tensor('i32', [n], tokens),
      parent: cx.tensor('i32', [n], parents),
      first: cx.tensor('i32', [trials.length + 1], first),
      seed: cx.tensor('i32', [trials.length, 2], new Int32Array(2 * trials.length).fill(59)),
      position: cx.tensor(
        'i32',
        [trials.length],
        trials.map((_, i) => position + i),
      ),
      coins: trials[0]?.coins ? cx.tensor('f32', [n], coins) : undefined,
      mode,
    }),
  );
  const [path, accepted, token] = [await out.path.data(), await out.accepted.data(), await out.next.data()];
  for (const tensor of Object.values(out)) tensor.dispose();
  return trials.map(
    (_, b): Verdict => ({
      path: Array.from(path.subarray(128 * b, 128 * b + (accepted[b] as number))),
      token: token[b] as number,
    }),
  );
}

const float = new Float32Array(1);
const bits = new Int32Array(float.buffer);

/** The largest f32 below a positive number. */
function below(t: number): number {
  float[0] = t;
  if ((float[0] as number) >= t) bits[0] = (bits[0] as number) - 1;
  return float[0] as number;
}

/** The smallest f32 that is not below it. */
function notBelow(t: number): number {
  float[0] = t;
  if ((float[0] as number) < t) bits[0] = (bits[0] as number) + 1;
  return float[0] as number;
}

const normalised = (row: Law): Law => {
  const total = sum(row);
  return row.map((p) => p / total);
};

/** Every way through a rule, with coins on either side of each of its breakpoints: what they are, and what follows. */
function breakpoints(rule: Rule, trial: Trial): { coins: number[]; verdict: Verdict }[] {
  const tree = { ...trial.tree, rows: trial.tree.rows.map((row) => row && normalised(row)) };
  const laws = trial.target.map(normalised);
  return outcomes((chance) => {
    // coins that decide nothing: one that would accept whatever it could
    const coins = tree.tokens.map(() => 0);
    const verdict = rule(tree, (node) => laws[node] as Law, {
      accept(coin, [threshold = 0]) {
        const way = chance.accept(coin, [threshold]);
        coins[coin] = way === 0 ? below(threshold) : notBelow(threshold);
        return way;
      },
      draw(_, law) {
        const token = chance.draw(0, law);
        const edge = sum(law.slice(0, token));
        const total = sum(law);
        // the first and the last coin that draw it
        const last = chance.draw(0, [1, 1]) === 1;
        coins[0] = Math.min(last ? below((edge + (law[token] as number)) / total) : notBelow(edge / total), below(1));
        return token;
      },
    });
    return { coins, verdict };
  })
    .map(({ value }) => value)
    .filter(({ coins }) => coins.every((coin) => coin < 1)); // no f32 coin rejects by less than 2^-24
}

const f32 = (rows: readonly (Law | null)[]) => rows.map((row) => row?.map(Math.fround) ?? null);
const trialOf = (tree: DraftTree, target: readonly Law[]): Trial => ({
  tree: { ...tree, rows: f32(tree.rows) },
  target: f32(target) as Law[],
});
const plainTree = ({ parents, tokens, draft, drawn }: DrawnTree): DraftTree => ({
  parents,
  tokens,
  rows: draft.map((row, i) => (drawn[i] ? row : null)),
});

let decided = 0;
afterAll(() => console.log(`${decided} settings of coins at breakpoints`));

describe.each(modes)('%s: coins on both sides of every breakpoint', (mode, rule) => {
  async function check(v: number, trial: Trial): Promise<number> {
    const settings = breakpoints(rule, trial);
    const got = await verify(
      mode,
      v,
      settings.map(({ coins }) => ({ ...trial, coins })),
    );
    settings.forEach(({ coins, verdict }, i) => {
      expect(got[i], JSON.stringify({ coins, trial })).toEqual(verdict);
    });
    decided += settings.length;
    return settings.length;
  }

  test('random trees', async () => {
    const rng = seeded(21);
    for (const shape of ['any', 'deep', 'chain', 'star', 'comb'] as Shape[]) {
      for (let i = 0; i < 6; i++) {
        const v = 2 + (i % 5);
        const drawn = drawTree(rng, randomParents(rng, 2 + i, shape), v, 2, [0, 0.5, 1][i % 3] as number);
        expect(await check(v, trialOf(plainTree(drawn), drawn.target))).toBeGreaterThan(2);
      }
    }
  });

  test('trees that are drawn by the enumerated processes: ties, holes, one token twice', async () => {
    for (const kind of ['near', 'ties', 'holes'] as Kind[]) {
      for (const drafting of [distinct(2, 1), independent(2, 1), topAndOneDrawn(2, 1), distinct(1, 1, 1)]) {
        const pair = randomPair(22, 3, kind);
        const trees = outcomes((chance) => drafting(pair.drafter, chance)).slice(0, 12);
        for (const { value: tree } of trees) {
          await check(
            3,
            trialOf(
              tree,
              tree.tokens.map((_, node) => pair.target(tokensTo(tree, node))),
            ),
          );
        }
      }
    }
  });

  test('thresholds that are f32 numbers: a coin equal to one rejects', async () => {
    const tree: DraftTree = { tokens: [-1, 0, 1], parents: [-1, 0, 0], rows: [null, [0.5, 0.25, 0.25], null] };
    const trial = trialOf(tree, [
      [0.25, 0.5, 0.25],
      [0, 0, 1],
      [0, 1, 0],
    ]);
    const at = (...coins: number[]) => verify(mode, 3, [{ ...trial, coins }]).then(([verdict]) => verdict);
    expect(await at(0, below(0.5), 0)).toEqual({ path: [0, 1], token: 2 });
    // the residual is all on token 1, which the second child has
    expect(await at(0, 0.5, below(1))).toEqual({ path: [0, 2], token: 1 });
    await check(3, trial);
  });
});

describe.each(modes)('%s: large trees', (mode, rule) => {
  test('agree with the rule, and accept some', async () => {
    const rng = seeded(23);
    let [accepted, trees] = [0, 0];
    for (const [nodes, v] of [
      [128, 1000],
      [128, 50],
      [64, 300],
      [33, 1000],
      [17, 999],
    ] as const) {
      const trials = (['any', 'deep', 'chain', 'star', 'comb'] as Shape[]).map((shape): Trial => {
        const drawn = drawTree(rng, randomParents(rng, nodes, shape), v, 2, 0.7);
        const coins = drawn.tokens.map(() => Math.fround(rng()));
        return { ...trialOf(plainTree(drawn), drawn.target), coins };
      });
      const got = await verify(mode, v, trials);
      trials.forEach(({ tree, target, coins = [] }, i) => {
        const rows = tree.rows.map((row) => row && normalised(row));
        const laws = target.map(normalised);
        const verdict = rule({ ...tree, rows }, (node) => laws[node] as Law, {
          accept: (coin, [threshold = 0]) => ((coins[coin] as number) < threshold ? 0 : -1),
          draw: (_, law) => {
            let u = coins[0] as number;
            return law.findIndex((p) => {
              u -= p;
              return u < 0;
            });
          },
        });
        expect(got[i]).toEqual(verdict);
        accepted += verdict.path.length - 1;
        trees++;
      });
    }
    expect(accepted).toBeGreaterThan(trees / 2);
  });
});

/** The target's law by the ops, for every context of up to two tokens. */
async function lawsByOp(pair: Pair, settings: Settings): Promise<Map<string, number[]>> {
  const contexts = [[], ...Array.from({ length: pair.vocabulary }, (_, a) => [a])].flatMap((after) =>
    after.length === 0 ? [after] : [after, ...Array.from({ length: pair.vocabulary }, (_, b) => [...after, b])],
  );
  const [n, v] = [contexts.length, pair.vocabulary];
  const column = (value: number) => cx.tensor('f32', [1], [value]);
  const out = ops.filteredSoftmax(cx, {
    logits: cx.tensor(
      'f32',
      [n, v],
      contexts.flatMap((after) => pair.logits?.(after) ?? []),
    ),
    seq: cx.zeros('i32', [n]),
    temperature: column(settings.temperature ?? 1),
    topK: cx.tensor('i32', [1], [settings.topK ?? 0]),
    topP: column(settings.topP ?? 1),
    minP: column(settings.minP ?? 0),
  });
  const data = await out.data();
  return new Map(contexts.map((after, i) => [after.join(), Array.from(data.subarray(i * v, (i + 1) * v))]));
}

describe('the law of two tokens by the coins of the generator', () => {
  const BATCH = 4096;
  const COUNT = 12 * BATCH;
  const rng = seeded(24);

  /** One round per tree, the second token from the target where the round gave one only. */
  async function measured(pair: Pair, settings: Settings, drafting: Drafting, mode: Mode, claim = (row: Law) => row) {
    const v = pair.vocabulary;
    const laws = await lawsByOp(pair, settings);
    const law = (after: readonly number[]) => laws.get(after.join()) as Law;
    const chance = {
      accept: () => -1,
      before: () => false,
      draw: (_: number, weights: Law) => pick(rng, weights),
    };
    const counts = new Array<number>(v * v).fill(0);
    let accepted = 0;
    for (let from = 0; from < COUNT; from += BATCH) {
      const trials = Array.from({ length: BATCH }, (): Trial => {
        const tree = drafting(pair.drafter, chance);
        return {
          tree: { ...tree, rows: tree.rows.map((row) => row && claim(row)) },
          target: tree.tokens.map((_, node) => law(tokensTo(tree, node))),
        };
      });
      const verdicts = await verify(mode, v, trials, from);
      verdicts.forEach(({ path, token }, i) => {
        const tokens = [...tokensTo((trials[i] as Trial).tree, path.at(-1) as number), token];
        if (tokens.length === 1) tokens.push(pick(rng, law(tokens)));
        const cell = (tokens[0] as number) * v + (tokens[1] as number);
        counts[cell] = (counts[cell] as number) + 1;
        accepted += path.length - 1;
      });
    }
    const { value, freedom } = chiSquare(counts, Array.from(plain(pair, 2)), 5);
    const bound = critical(freedom, ONE_IN_A_MILLION);
    const figures = `chi-square ${value.toFixed(1)} on ${freedom}, bound ${bound.toFixed(1)}, accepted ${(accepted / COUNT).toFixed(2)}`;
    return { value, bound, accepted: accepted / COUNT, figures };
  }

  const draftings: [string, Drafting][] = [
    ['distinct siblings', distinct(2, 1)],
    ['independent siblings', independent(2, 1)],
    ['the best and one drawn', topAndOneDrawn(2, 1)],
    ['the best', top(2, 1)],
    ['a chain', distinct(1, 1)],
  ];
  const asked: Settings = { temperature: 1.3, topK: 4, topP: 0.97, minP: 0.05, repetitionPenalty: 1.4 };

  test.each(draftings)('%s, filters and a penalty', async (name, drafting) => {
    for (const [mode] of modes) {
      const pair = randomPair(25, 5, 'near', asked);
      const found = await measured(pair, asked, drafting, mode);
      console.log(`${name}, ${mode}: ${found.figures}`);
      expect(found.value).toBeLessThan(found.bound);
      expect(found.accepted).toBeGreaterThan(0.2);
    }
  });

  test('a draft law that is not the one drawn from is noticed', async () => {
    const pair = randomPair(25, 5, 'far');
    const flat = (row: Law) => row.map(() => 1 / row.length);
    const found = await measured(pair, {}, distinct(1, 1), 'traversal', flat);
    console.log(`a false draft law: ${found.figures}`);
    expect(found.value).toBeGreaterThan(10 * found.bound);
  });
});

describe('what was clamped is flagged', () => {
  const good = { tokens: [-1, 1, 2], parents: [-1, 0, 1], target: [0.5, 0.25, 0.25], first: [0, 3], coin: 0.5 };
  const call = async (bad: Partial<typeof good>) => {
    await cx.sync();
    const { tokens, parents, target, first, coin } = { ...good, ...bad };
    const out = ops.classicVerify(cx, {
      target: cx.tensor('f32', [3, 3], [...target, ...target, ...target]),
      token: cx.tensor('i32', [3], tokens),
      parent: cx.tensor('i32', [3], parents),
      first: cx.tensor('i32', [2], first),
      seed: cx.tensor('i32', [1, 2], [1, 2]),
      position: cx.tensor('i32', [1], [0]),
      coins: cx.tensor('f32', [3], [coin, coin, coin]),
    });
    const [token] = await out.next.data();
    return { token, ...(await cx.sync()) };
  };

  test('and nothing else is', async () => {
    expect(await call({})).toMatchObject({ indexClamped: false, notANumber: false });
  });
  test.each<[string, Partial<typeof good>]>([
    ['a token beyond the vocabulary', { tokens: [-1, 1, 3] }],
    ['a negative token', { tokens: [-1, -1, 2] }],
    ['a parent after its child', { parents: [-1, 2, 1] }],
    ['a second root', { parents: [-1, 0, -1] }],
    ['a tree beyond the nodes', { first: [0, 4] }],
    ['a tree before the first node', { first: [-1, 3] }],
    ['a coin of 1', { coin: 1 }],
  ])('%s', async (_, bad) => {
    expect(await call(bad)).toMatchObject({ indexClamped: true, notANumber: false });
  });
  test.each<[string, Partial<typeof good>]>([
    ['NaN', { target: [0.5, NaN, 0.5] }],
    ['infinity', { target: [0.5, Infinity, 0.5] }],
    ['a negative weight', { target: [0.5, -0.1, 0.5] }],
    ['no weight', { target: [0, 0, 0] }],
    ['a coin that is none', { coin: NaN }],
  ])('%s', async (_, bad) => {
    const { token, ...flags } = await call(bad);
    expect(flags).toEqual({ indexClamped: false, notANumber: true });
    expect([0, 1, 2]).toContain(token);
  });
});
