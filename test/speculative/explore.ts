// Exact enumeration: a random procedure is run once for every way in which its coins may fall, each way with its probability.
import { Simplex } from './simplex.js';

/**
 * What a rule asks of chance. `coin` names a coin that is tossed once; the enumeration takes coins of different names, and of
 * different purposes, as independent.
 */
export interface Coins {
  /** The first i for which the coin is below weights[0] + ... + weights[i], or -1 when it is beyond all of them. */
  accept(coin: number, weights: readonly number[]): number;
  /** An index in proportion to its weight. */
  draw(coin: number, weights: readonly number[]): number;
}

/** The noise of coupled sampling: E(position, token), independent exponential variables; Gumbel noise is -log E. */
export interface Noise {
  /** Whether E(position, a) / wa < E(position, b) / wb, that is log wa + G(a) > log wb + G(b). Weights of 0 never win. */
  before(position: number, a: number, wa: number, b: number, wb: number): boolean;
}

export interface Outcome<T> {
  probability: number;
  value: T;
}

/** A way that is less likely than this is a rounding error of a probability that is 0. */
const NOTHING = 1e-15;

/**
 * Every outcome of a procedure with its probability. Coins are integrated analytically; noise of `vocabulary` tokens is a point of
 * a simplex per position, cut along each comparison. The procedure must be a function of its answers.
 */
export function outcomes<T>(run: (chance: Coins & Noise) => T, vocabulary = 0): Outcome<T>[] {
  const found: Outcome<T>[] = [];
  const open: number[][] = [[]];
  for (let trail = open.pop(); trail; trail = open.pop()) {
    let taken = 0;
    let probability = 1;
    const path = trail;
    const noise = new Map<number, Simplex>();
    /** Takes one of the ways; the others are left for later. Ways of no probability are not taken. */
    const choose = (ways: readonly number[]): number => {
      if (taken === path.length) {
        const possible = [...ways.keys()].filter((i) => (ways[i] as number) > NOTHING);
        const [first, ...rest] = possible;
        if (first === undefined) throw new Error(`no way to go: ${ways}`);
        for (const other of rest) open.push([...path, other]);
        path.push(first);
      }
      const way = path[taken++] as number;
      probability *= ways[way] as number;
      return way;
    };
    const value = run({
      accept(_, weights) {
        const rest = 1 - sum(weights);
        const way = choose([...weights.map((w) => Math.min(w, 1)), rest]);
        return way === weights.length ? -1 : way;
      },
      draw(_, weights) {
        const total = sum(weights);
        return choose(weights.map((w) => w / total));
      },
      before(position, a, wa, b, wb) {
        if (!(wa > 0)) return false;
        if (!(wb > 0)) return true;
        const whole = noise.get(position) ?? Simplex.whole(vocabulary);
        const plane = Array.from({ length: vocabulary }, (_, i) => (i === a ? wb : i === b ? -wa : 0));
        const [below, above] = whole.cut(plane);
        const share = below.volume / whole.volume;
        const way = choose([share, 1 - share]);
        noise.set(position, way === 0 ? below : above);
        return way === 0;
      },
    });
    found.push({ probability, value });
  }
  return found;
}

/** Coins that are given: a coin is accepted strictly below a threshold, a draw inverts the distribution in index order. */
export function givenCoins(accept: ArrayLike<number>, draw: (coin: number) => number): Coins {
  return {
    accept(coin, weights) {
      const u = accept[coin];
      if (u === undefined) throw new Error(`no coin ${coin}`);
      let below = 0;
      return weights.findIndex((w) => {
        below += w;
        return u < below;
      });
    },
    draw(coin, weights) {
      const u = draw(coin) * sum(weights);
      let below = 0;
      const found = weights.findIndex((w) => {
        below += w;
        return u < below;
      });
      return found >= 0 ? found : weights.findLastIndex((w) => w > 0);
    },
  };
}

export function sum(list: readonly number[]): number {
  return list.reduce((a, b) => a + b, 0);
}
