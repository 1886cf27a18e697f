import type { Context } from '../tensor/context.js';

/** One op or one job of a context's executor: what `Context.profileStop` returns. A job has an empty `op` and spans its ops. */
export type ProfileEvent = ReturnType<Context['profileStop']>[number];

/** The range that an op was recorded in, or a job queued in. */
export type ProfileRange = NonNullable<ProfileEvent['range']>;

/** What a machine was measured to do at best, in flop/s and bytes/s. */
export interface Roofline {
  flops: number;
  bytesPerSecond: number;
}

/** The roofline, or the one that holds for a call: data that fits a cache moves faster. */
export type RooflineOf = Roofline | ((event: ProfileEvent) => Roofline);

/** Least seconds that the roofline allows a call: the larger of flops / flop/s and bytes / bytes/s. */
export function floorOf(event: ProfileEvent, roofline: RooflineOf): number {
  const most = typeof roofline === 'function' ? roofline(event) : roofline;
  return Math.max(event.flops / most.flops, event.bytes / most.bytesPerSecond);
}

/** Ops that do the same kind of work, for a coarse picture. The first pattern that fits an op's name decides. */
const FAMILIES: readonly (readonly [pattern: RegExp, family: string])[] = [
  [/conv|upsample|patchify|pixels|latent/i, 'convolution and pixels'],
  [/attention/i, 'attention'],
  [/linear|pack_weight/i, 'linear'],
  [/norm/i, 'norms and RoPE'],
  [/embed|rope/i, 'embeddings'],
  [/tree|draft|verify|kv_commit/i, 'speculation'],
  [/sample|penalize|softmax|philox|guided|emit|increment/i, 'sampling and solver'],
];

/** The family of an op, by its contract name; `other` for those that only move or convert data. */
export function familyOf(op: string): string {
  return FAMILIES.find(([pattern]) => pattern.test(op))?.[1] ?? 'other';
}
