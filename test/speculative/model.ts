// A target of a few tokens: logits that depend on the context, and what the sampling settings make of them.
import { between, type Rng, seeded } from '../kit/cases.js';
import type { Law } from './rules.js';

export interface Settings {
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
  /** The penalty sees the prompt only, not the tokens of the path: WRONG, as a control. */
  ignoresPath?: true;
}

export interface Pair {
  vocabulary: number;
  /** The target's law after some tokens of the answer. */
  target(after: readonly number[]): Law;
  drafter(after: readonly number[]): Law;
  /** The target's logits, without and with the penalty. */
  raw?(after: readonly number[]): number[];
  logits?(after: readonly number[]): number[];
}

/**
 * The law that the settings make of logits: temperature; the k largest, lower ids first on ties; of these, best first, as many as
 * it takes for the mass before the next one to reach p; then those of at least min_p times the largest probability.
 */
export function filteredLaw(logits: readonly number[], settings: Settings): Law {
  const { temperature = 1, topK = 0, topP = 1, minP = 0 } = settings;
  const ids = [...logits.keys()].sort((a, b) => (logits[b] as number) - (logits[a] as number) || a - b);
  const first = logits[ids[0] as number] as number;
  if (temperature <= 0) return logits.map((_, id) => (id === ids[0] ? 1 : 0));
  const weight = (id: number) => Math.exp(((logits[id] as number) - first) / temperature);
  const mass = (list: readonly number[]) => list.reduce((sum, id) => sum + weight(id), 0);
  let kept = topK > 0 ? ids.slice(0, topK) : ids;
  const total = mass(kept);
  kept = kept.filter((_, i) => i === 0 || mass(kept.slice(0, i)) < topP * total);
  kept = kept.filter((id) => weight(id) >= Math.min(minP, 1));
  const left = mass(kept);
  return logits.map((_, id) => (kept.includes(id) ? weight(id) / left : 0));
}

/** Repetition penalty: logits of tokens that have occurred are divided by it when positive and multiplied when negative. */
export function penalised(logits: readonly number[], occurred: readonly number[], penalty: number): number[] {
  return logits.map((x, id) => (occurred.includes(id) ? (x > 0 ? x / penalty : x * penalty) : x));
}

/** A function of the context whose values are kept. */
function kept<T>(make: (after: readonly number[]) => T): (after: readonly number[]) => T {
  const known = new Map<string, T>();
  return (after) => {
    const key = after.join();
    let value = known.get(key);
    if (value === undefined) {
      value = make(after);
      known.set(key, value);
    }
    return value;
  };
}

/** How target and drafter differ: by noise on the logits, or both on a coarse grid so that laws have ties and often agree. */
export type Kind = 'near' | 'far' | 'ties' | 'holes';

/**
 * A random pair. `holes`: both laws lack tokens, not the same ones. The prompt that a repetition penalty has seen is token 0.
 */
export function randomPair(seed: number, vocabulary: number, kind: Kind, settings: Settings = {}): Pair {
  /** Numbers of a context: the same in whatever order contexts are asked for. */
  const table = (salt: number, next: (rng: Rng) => number) =>
    kept((after) => {
      const context = after.reduce((sum, token) => sum * (vocabulary + 1) + token + 1, 0);
      const rng = seeded(1e6 * seed + 2 * context + salt);
      return Array.from({ length: vocabulary }, () => next(rng));
    });
  const noise = (rng: Rng) => rng() + rng() + rng() - 1.5;
  const logits = table(0, (rng) => (kind === 'ties' ? between(rng, -1, 1) * Math.LN2 : 3 * noise(rng)));
  const distance = kind === 'far' ? 4 : 1;
  const shift = table(1, (rng) => (kind === 'ties' ? between(rng, 0, 1) * Math.LN2 : distance * noise(rng)));
  const hole = (of: string, after: readonly number[], law: Law): Law => {
    if (kind !== 'holes') return law;
    const lost = (after.reduce((sum, t) => 5 * sum + t + 1, of === 'target' ? 0 : 1) + seed) % vocabulary;
    const left = law.map((p, id) => (id === lost ? 0 : p));
    const mass = left.reduce((a, b) => a + b, 0);
    return mass > 0 ? left.map((p) => p / mass) : law;
  };
  const penalty = settings.repetitionPenalty ?? 1;
  const occurred = (after: readonly number[]) => (settings.ignoresPath ? [0] : [0, ...after]);
  const scores = (after: readonly number[]) => penalised(logits(after), occurred(after), penalty);
  return {
    vocabulary,
    raw: logits,
    logits: scores,
    target: kept((after) => hole('target', after, filteredLaw(scores(after), settings))),
    drafter: kept((after) => {
      const moved = logits(after).map((x, id) => x + (shift(after)[id] as number));
      return hole('drafter', after, filteredLaw(moved, { temperature: settings.temperature || 1 }));
    }),
  };
}
