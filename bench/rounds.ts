// Rounds of the bundled model by the size of their trees, beside plain steps: what one costs, and how much of it is bookkeeping.
import type { Sequence } from '../lib/cache/pages.js';
import type { BagelModel } from '../lib/models/bagel/model.js';
import { floorOf, type Roofline } from '../lib/profile/events.js';
import { type RoundOptions, Rounds } from '../lib/speculative/round.js';
import { DecodeState } from '../lib/speculative/state.js';
import { DraftTree, MAX_DRAFTED } from '../lib/speculative/tree.js';
import { type Cost, costOf, median } from './arithmetic.js';
import { filled } from './denoise.js';
import { GREEDY } from './steps.js';

export interface RoundRow {
  /** Verified nodes, the root included; 1: a plain step. */
  nodes: number;
  /** Tokens that a round gave. */
  tokens: number;
  /** Seconds from the queueing of a round to its event. */
  seconds: number;
  /** Of that, in ops. */
  opSeconds: number;
  /** Of the ops' time, in building the tree, verifying it, committing its path and telling the host. */
  bookkeeping: number;
  /** By the contracts of its ops. */
  cost: Cost;
  /** Least seconds that the roofline allows its ops; undefined without one. */
  floorSeconds: number | undefined;
}

export interface RoundCase {
  /** Tokens before the tree. */
  context: number;
  sizes: readonly number[];
  roofline?: Roofline;
}

/** What a round does besides running the model and choosing tokens. */
const BOOKKEEPING = new Set(['tree_build', 'tree_verify', 'kv_commit', 'emit']);
/** 7: what verifies a draft of depth 6. */
const USUAL: RoundCase = { context: 64, sizes: [1, 2, 4, 7, 8, 16, 32, 64, MAX_DRAFTED + 1] };
const OPTIONS: RoundOptions = { traced: false, penalized: false };

/** The model's own continuation of a sequence, a token per plain step. */
async function continuation(
  model: BagelModel,
  state: DecodeState,
  rounds: Rounds,
  sequence: Sequence,
  length: number,
): Promise<number[]> {
  const tokens: number[] = [];
  state.start(0, { sequence, first: 1, limit: 2 * MAX_DRAFTED, stop: [], sampling: GREEDY });
  while (tokens.length < length) {
    const results = await rounds.receive(rounds.run(1, OPTIONS));
    for (const { events } of results) tokens.push(...(events[0]?.tokens ?? []));
  }
  await model.cx.sync();
  return tokens;
}

/** Right tokens, each behind a wrong sibling that looks better: half of the nodes are accepted, and all of those have to move. */
function halfRight(right: readonly number[], nodes: number, vocabulary: number): DraftTree {
  const tokens: number[] = [];
  const parents: number[] = [];
  const values: number[] = [];
  for (let parent = -1, depth = 0; tokens.length < nodes; depth++) {
    const token = right[depth] as number;
    const found = nodes - tokens.length > 1 ? [(token + 1) % vocabulary, token] : [token];
    for (const [i, t] of found.entries()) {
      tokens.push(t);
      parents.push(parent);
      values.push(-(2 * depth + i + 1) / 100);
    }
    parent = tokens.length - 1;
  }
  return new DraftTree({ tokens, parents, values }, vocabulary);
}

/** Milliseconds of rounds before those of a size that count. */
const WARM_MS = 3;

const turnAfter = (turn: 'warm' | 'timed' | 'profiled', begin: number) =>
  turn === 'warm' ? (performance.now() - begin < WARM_MS ? turn : 'timed') : turn === 'timed' ? 'profiled' : undefined;

/** Rounds of each size in turns; medians of `samples`. */
export async function roundRows(
  model: BagelModel,
  samples: number,
  { context = USUAL.context, sizes = USUAL.sizes, roofline }: Partial<RoundCase> = {},
): Promise<RoundRow[]> {
  const { cx } = model;
  const state = new DecodeState(model, 1);
  const rounds = new Rounds(model, state);
  const sequence = filled(model, context);
  model.reserve(sequence, 2 * MAX_DRAFTED + 8);
  try {
    // every second node of a tree is a right one
    const right = await continuation(model, state, rounds, sequence, Math.ceil(Math.max(...sizes) / 2) + 1);
    const measured = sizes.map((nodes) => ({
      nodes,
      tree: nodes > 1 ? halfRight(right, nodes - 1, model.vocabulary) : undefined,
      tokens: 0,
      seconds: [] as number[],
      opSeconds: [] as number[],
      bookkeeping: [] as number[],
      cost: { flops: 0, bytes: 0 },
      floorSeconds: undefined as number | undefined,
    }));
    for (let sample = -2; sample < samples; sample++) {
      for (const row of measured) {
        // until caches and clocks have forgotten the size before; for its time; to look inside
        const begin = performance.now();
        for (let turn: 'warm' | 'timed' | 'profiled' | undefined = 'warm'; turn; turn = turnAfter(turn, begin)) {
          state.start(0, { sequence, first: 1, limit: 2 * MAX_DRAFTED, stop: [], sampling: GREEDY });
          if (turn === 'profiled') cx.profileStart();
          const start = performance.now();
          if (row.tree) state.propose([{ tree: row.tree, nodes: row.nodes - 1, since: 0 }]);
          const [result] = await rounds.receive(rounds.run(row.nodes, OPTIONS));
          const seconds = (performance.now() - start) / 1e3;
          row.tokens = result?.events[0]?.tokens.length ?? 0;
          if (turn === 'timed' && sample >= 0) row.seconds.push(seconds);
          if (turn !== 'profiled') continue;
          const events = cx.profileStop().filter(({ op }) => op !== '');
          const time = (list: typeof events) => list.reduce((sum, e) => sum + (e.endNs - e.startNs) / 1e9, 0);
          if (sample < 0) continue;
          row.opSeconds.push(time(events));
          row.cost = costOf(events);
          if (roofline) row.floorSeconds = events.reduce((sum, e) => sum + floorOf(e, roofline), 0);
          row.bookkeeping.push(time(events.filter(({ op }) => BOOKKEEPING.has(op))) / time(events));
        }
      }
    }
    return measured.map(({ tree, ...row }) => ({
      ...row,
      seconds: median(row.seconds),
      opSeconds: median(row.opSeconds),
      bookkeeping: median(row.bookkeeping),
    }));
  } finally {
    rounds.dispose();
    state.dispose();
    sequence.release();
  }
}

/** Microseconds of a duration. */
const us = (seconds: number) => (seconds * 1e6).toFixed(0);

/** The rows as cells, the head first. `at most`: plain steps in the time of a round's floor, were each of its nodes right. */
export function roundTable(rows: readonly RoundRow[]): string[][] {
  const plain = rows[0]?.opSeconds ?? Number.NaN;
  return [
    [
      'nodes',
      'us of a round',
      'us in ops',
      'floor us',
      'plain steps',
      'at most',
      'build, verify, commit, emit',
      'tokens',
    ],
    ...rows.map(({ nodes, tokens, seconds, opSeconds, bookkeeping, floorSeconds }) => [
      `${nodes}`,
      us(seconds),
      us(opSeconds),
      floorSeconds === undefined ? '' : us(floorSeconds),
      (opSeconds / plain).toFixed(2),
      floorSeconds === undefined ? '' : `${((nodes * plain) / floorSeconds).toFixed(2)}x`,
      `${(100 * bookkeeping).toFixed(1)}%`,
      `${tokens}`,
    ]),
  ];
}
