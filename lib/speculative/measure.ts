import type { Sequence } from '../cache/pages.js';
import { stepsAhead } from './ahead.js';
import { CostCurve, type CostPoint } from './cost-curve.js';
import type { Decoder } from './decoder.js';
import { Rounds } from './round.js';
import { DecodeState } from './state.js';
import { DraftTree, MAX_DRAFTED } from './tree.js';

/** Nodes of the measured rounds, the root included. */
const NODES = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, MAX_DRAFTED + 1] as const;
const REPEATS = 5;
/** Plain steps per repeat. */
const STEPS = 16;
/** Nothing more is begun after this time; what is missing is extrapolated. */
const MOST_MS = 1500;

/** Slots that the measurement fills behind the sequence's end. */
export const MEASURED_SLOTS = (REPEATS + 1) * (STEPS + NODES.length) + 2 * (MAX_DRAFTED + 1);

/**
 * Times plain steps, queued ahead as answers queue them, and rounds of chains, whose events the host awaits: what one answer costs
 * on this machine.
 *
 * @param sequence has room for {@link MEASURED_SLOTS} more; what it holds stays
 */
export async function measureCostCurve(decoder: Decoder, sequence: Sequence): Promise<CostCurve> {
  const { cx, vocabulary } = decoder;
  const state = new DecodeState(decoder, 1);
  const rounds = new Rounds(decoder, state);
  const options = { traced: false, penalized: false };
  const sampling = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 1 };
  const until = async (ticket: number, count: number) => {
    for (let seen = 0; seen < count; ) seen += (await cx.receive(rounds.channel, ticket)).length;
  };
  const begin = performance.now();
  try {
    state.start(0, { sequence, first: 0, limit: 2 ** 30, stop: [], sampling });
    const plain = async () => {
      const start = performance.now();
      let ticket = 0;
      for (let queued = 0, seen = 0; seen < STEPS; ) {
        for (; queued < STEPS && queued - seen < stepsAhead(performance.now() - start, seen); queued++) {
          ticket = rounds.run(1, options);
        }
        seen += (await cx.receive(rounds.channel, ticket)).length;
      }
      return (performance.now() - start) / STEPS;
    };
    const round = async (nodes: number) => {
      const n = nodes - 1;
      // tokens that a model hardly ever gives: nothing is accepted, the sequence grows by one
      const tree = new DraftTree({
        tokens: Int32Array.from({ length: n }, (_, i) => (vocabulary - 1 - i + vocabulary) % vocabulary),
        parents: Int32Array.from({ length: n }, (_, i) => i - 1),
      });
      const start = performance.now();
      state.propose([{ tree, nodes: n }]);
      await until(rounds.run(nodes, options), 1);
      return performance.now() - start;
    };
    const repeat = async (measure: () => Promise<number>) => {
      await measure(); // records the program, touches its memory
      const times: number[] = [];
      for (let i = 0; i < REPEATS && performance.now() - begin < MOST_MS; i++) times.push(await measure());
      return times.length > 0 ? Math.min(...times) : await measure(); // what is longer was disturbed
    };
    const stepMs = await repeat(plain);
    const points: CostPoint[] = [];
    for (const nodes of NODES) {
      if (performance.now() - begin > MOST_MS && points.length > 2) break;
      points.push({ nodes, ms: await repeat(() => round(nodes)) });
    }
    // fewer nodes cannot take more time; what says so was disturbed throughout
    for (let i = points.length - 2; i >= 0; i--) {
      const point = points[i] as CostPoint;
      point.ms = Math.min(point.ms, (points[i + 1] as CostPoint).ms);
    }
    return new CostCurve({ stepMs, points });
  } finally {
    await cx.sync();
    rounds.dispose();
    state.dispose();
  }
}
