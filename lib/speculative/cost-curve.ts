import { HyperBagelError } from '../errors.js';
import type { Acceptance } from './calibration.js';

/** Time of a round that verifies this many nodes, roots included. */
export interface CostPoint {
  nodes: number;
  ms: number;
}

export interface CostCurveInit {
  /** Time of a plain decoding step. */
  stepMs: number;
  /** In ascending order of nodes. */
  points: readonly CostPoint[];
}

/** Most points of a curve. */
const MOST_POINTS = 256;
const MOST_NODES = 2 ** 16;
const MOST_MS = 1e7;

function refuse(operand: string, expected: string, got: unknown): never {
  throw new HyperBagelError('BAD_OPTION', `cost curve: ${operand}: expected ${expected}, got ${String(got)}`, {
    operand,
    expected,
    got: String(got),
  });
}

const isTime = (ms: unknown): ms is number => typeof ms === 'number' && ms > 0 && ms <= MOST_MS;

/** Measured times of rounds by their number of nodes, beside the plain step: straight between points, and never falling. */
export class CostCurve {
  readonly stepMs: number;
  readonly points: readonly CostPoint[];

  /** @throws HyperBagelError BAD_OPTION, operand `stepMs` or `points` */
  constructor({ stepMs, points }: CostCurveInit) {
    if (!isTime(stepMs)) refuse('stepMs', 'a positive number of milliseconds', stepMs);
    if (!Array.isArray(points) || points.length === 0 || points.length > MOST_POINTS) {
      refuse('points', `1 to ${MOST_POINTS} points`, Array.isArray(points) ? points.length : typeof points);
    }
    const kept: CostPoint[] = [];
    let before: CostPoint = { nodes: 0, ms: 0 };
    for (const point of points as readonly Partial<CostPoint>[]) {
      const { nodes, ms } = point ?? {};
      if (!Number.isInteger(nodes) || (nodes as number) <= before.nodes || (nodes as number) > MOST_NODES) {
        refuse('points', `integers of nodes in ascending order up to ${MOST_NODES}`, nodes);
      }
      if (!isTime(ms)) refuse('points', 'a positive number of milliseconds', ms);
      // more nodes cannot take less time; what says so is the clock
      before = { nodes: nodes as number, ms: Math.max(ms, before.ms) };
      kept.push(before);
    }
    this.stepMs = stepMs;
    this.points = kept;
  }

  /** Time of a round with this many nodes. Below the first point as there, behind the last one on with the last slope. */
  ms(nodes: number): number {
    const { points } = this;
    const first = points[0] as CostPoint;
    if (nodes <= first.nodes || points.length === 1) return first.ms;
    let right = 1;
    while (right < points.length - 1 && (points[right] as CostPoint).nodes < nodes) right++;
    const a = points[right - 1] as CostPoint;
    const b = points[right] as CostPoint;
    return a.ms + ((nodes - a.nodes) * (b.ms - a.ms)) / (b.nodes - a.nodes);
  }
}

export interface Size {
  /** Drafted nodes to verify; 0 when none pays. */
  nodes: number;
  /** Tokens that the round is expected to emit. */
  tokens: number;
  /** Time that it is expected to take. */
  ms: number;
}

/**
 * How many of the best drafted nodes to verify: the n that maximises roots + sum of acceptance over n - rate x time(roots + n), the
 * fewest among equals. What a round is worth is what it gives beyond what its time would have given otherwise; the n with the most
 * tokens per time of this round alone would be too small where a draft is sure to be right, and too large where it is a guess
 * (renewal reward: the long-run rate is largest if every choice is made with it as the price of time).
 *
 * @param values of the drafted nodes of all sequences of the round, largest first
 * @param rate tokens per millisecond that decoding reaches in the long run
 * @param least of the nodes, if there are so many
 * @param roots sequences of the round
 * @param extraMs time that every such round takes besides, for drafting
 */
export function chooseSize(
  curve: CostCurve,
  values: ArrayLike<number>,
  acceptance: Acceptance,
  { rate, roots = 1, extraMs = 0, least = 0 }: { rate: number; roots?: number; extraMs?: number; least?: number },
): Size {
  let tokens = roots;
  let best: Size = { nodes: 0, tokens, ms: curve.ms(roots) + extraMs };
  for (let n = 1; n <= values.length; n++) {
    tokens += acceptance.estimate(values[n - 1] as number);
    const ms = curve.ms(roots + n) + extraMs;
    if (n <= least || tokens - best.tokens > rate * (ms - best.ms)) best = { nodes: n, tokens, ms };
  }
  return best;
}
