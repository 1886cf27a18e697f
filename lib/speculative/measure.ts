import type { Sequence } from '../cache/pages.js';
import { HyperBagelError } from '../errors.js';
import { stepsAhead } from './ahead.js';
import { CostCurve, type CostPoint } from './cost-curve.js';
import type { Decoder } from './decoder.js';
import { Rounds } from './round.js';
import { DecodeState } from './state.js';
import { DraftTree, MAX_DRAFTED } from './tree.js';

/** Nodes of the measured rounds, the root included: what says most comes first, for models that leave time for little. */
const NODES = [8, 1, 32, 3, MAX_DRAFTED + 1, 16, 2, 64, 4, 6, 12, 24, 48, 96] as const;
/** A line through fewer would say nothing. */
const LEAST_POINTS = 2;
const REPEATS = 5;
/** Plain steps per repeat. */
const STEPS = 16;
/** Nothing more is begun after this time, but for what a curve needs; what is missing is extrapolated. */
const MOST_MS = 1500;

/** Slots that the measurement fills behind the sequence's end. */
export const MEASURED_SLOTS = (REPEATS + 1) * (STEPS + NODES.length) + 2 * (MAX_DRAFTED + 1);

/**
 * Times plain steps, queued ahead as answers queue them, and rounds of chains, whose events the host awaits: what one answer costs
 * on this machine. Takes a second and a half, or three steps of a model that needs longer for them.
 *
 * @param sequence has room for {@link MEASURED_SLOTS} more; what it holds stays
 * @throws HyperBagelError the failure of a step; DISPOSED
 */
export async function measureCostCurve(decoder: Decoder, sequence: Sequence): Promise<CostCurve> {
  const { cx, vocabulary } = decoder;
  const state = new DecodeState(decoder, 1);
  const rounds = new Rounds(decoder, state);
  const options = { traced: false, penalized: false };
  const sampling = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 1 };
  const begin = performance.now();
  const isLate = () => performance.now() - begin > MOST_MS;
  /** Tokens of the sequence so far. */
  let since = 0;
  const received = async (ticket: number) => {
    const ended = await rounds.receive(ticket);
    for (const { events } of ended) since += events[0]?.tokens.length ?? 0;
    if (ended.length > 0) return ended.length;
    await cx.sync(); // a round that tells nothing has failed
    throw new HyperBagelError('INTERNAL', 'a measured round told nothing');
  };
  const plain = async (steps: number) => {
    const start = performance.now();
    let ticket = 0;
    for (let queued = 0, seen = 0; seen < steps; ) {
      for (; queued < steps && queued - seen < stepsAhead(performance.now() - start, seen); queued++) {
        ticket = rounds.run(1, options);
      }
      seen += await received(ticket);
    }
    return (performance.now() - start) / steps;
  };
  const round = async (nodes: number) => {
    const n = nodes - 1;
    // tokens that a model hardly ever gives: nothing is accepted, the sequence grows by one
    const tree = new DraftTree({
      tokens: Int32Array.from({ length: n }, (_, i) => vocabulary - 1 - (i % vocabulary)),
      parents: Int32Array.from({ length: n }, (_, i) => i - 1),
    });
    const start = performance.now();
    state.propose([{ tree, nodes: n, since }]);
    await received(rounds.run(nodes, options));
    return performance.now() - start;
  };
  /** The shortest of a few times: what is longer was disturbed. The first, which records the program, counts in need only. */
  const shortest = async (measure: () => Promise<number>) => {
    const first = await measure();
    const times: number[] = [];
    for (let i = 0; i < REPEATS && !isLate(); i++) times.push(await measure());
    return times.length > 0 ? Math.min(...times) : first;
  };
  try {
    state.start(0, { sequence, first: 0, limit: 2 ** 30, stop: [], sampling });
    const once = await plain(1);
    const steps = Math.max(1, Math.min(STEPS, Math.floor(MOST_MS / (2 * REPEATS * once))));
    const stepMs = isLate() ? once : await shortest(() => plain(steps));
    const points: CostPoint[] = [];
    for (const nodes of NODES) {
      if (isLate() && points.length >= LEAST_POINTS) break;
      points.push({ nodes, ms: await shortest(() => round(nodes)) });
    }
    points.sort((a, b) => a.nodes - b.nodes);
    // fewer nodes cannot take more time; what says so was disturbed throughout
    for (let i = points.length - 2; i >= 0; i--) {
      const point = points[i] as CostPoint;
      point.ms = Math.min(point.ms, (points[i + 1] as CostPoint).ms);
    }
    return new CostCurve({ stepMs, points });
  } finally {
    rounds.dispose();
    state.dispose();
  }
}
