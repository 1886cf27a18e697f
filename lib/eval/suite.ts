import { HyperBagelError } from '../errors.js';
import type { Image } from '../io/image.js';

export const SUITES = ['shapes', 'edits', 'vqa'] as const;
export type SuiteName = (typeof SUITES)[number];

/** How the items of a suite are told apart, checked and compared. `R` is what a line of a results file holds of an item. */
export interface Suite<R> {
  readonly name: SuiteName;
  /** Categories, ops or types, in the order of reports. */
  readonly groups: readonly string[];
  groupOf(record: R): string;
  /** The same for an item in every run. */
  keyOf(record: R): string;
  /** What the model made: a parsed scene, an answer. */
  outcomeOf(record: R): string;
  /** What it was judged. */
  verdictOf(record: R): string;
  /** The record, when the parsed JSON of a line is one; undefined otherwise. */
  read(value: unknown): R | undefined;
}

/** A picture to be made and judged. `R` is the record of its suite. */
export interface PictureTask<R> {
  readonly key: string;
  /** Place in the file of pictures; the same in every run. */
  readonly slot: number;
  /** Row of its initial noise, and the seed of that when none is given. */
  readonly row: number;
  readonly seed: number;
  /** 0 for the item itself; others are the same prompt from other noise, to measure diversity. */
  readonly variant: number;
  /** Prompt or instruction. */
  readonly text: string;
  /** The picture to edit. */
  readonly source?: Image;
  /** RGB of the world's own rendering of a right picture. */
  readonly reference: Uint8Array;
  judge(pixels: Uint8Array): R;
}

/** What the record of a picture has besides its suite's fields. */
export interface Measured {
  readonly variant: number;
  readonly steps: number;
  /** Network evaluations. */
  readonly nfe: number;
  /** Its share of the batch's wall time in ms: in all, and of the denoising alone. */
  readonly ms: number;
  readonly denoiseMs: number;
}

/** As many of each group as evenly as can be: how many of `total` items the i-th of `groups` groups has. */
export function evenly(total: number, groups: number, i: number): number {
  return Math.floor(total / groups) + (i < total % groups ? 1 : 0);
}

/** Lists as one, a first of each, then a second of each: what is cut off anywhere has all groups about equally. */
export function roundRobin<T>(lists: readonly (readonly T[])[]): T[] {
  const longest = Math.max(0, ...lists.map((list) => list.length));
  return Array.from({ length: longest }, (_, i) => lists.flatMap((list) => list.slice(i, i + 1))).flat();
}

export const mean = (values: readonly (number | boolean)[]): number =>
  values.reduce((sum: number, value) => sum + Number(value), 0) / values.length;

/** The middle value, or the mean of the two. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  const upper = sorted[half] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? Number.NaN) + upper) / 2;
}

/** Fields of parsed JSON by name, when it is an object. */
export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

export function isOneOf<T extends string>(allowed: readonly T[], value: unknown): value is T {
  return (allowed as readonly unknown[]).includes(value);
}

/** `Measured` fields of parsed JSON, when all are there and sane. */
export function readMeasured(value: unknown): Measured | undefined {
  const { variant, steps, nfe, ms, denoiseMs } = fieldsOf(value);
  const counts = [variant, steps, nfe];
  if (!counts.every((each) => Number.isSafeInteger(each) && (each as number) >= 0)) return undefined;
  if (![ms, denoiseMs].every((each) => typeof each === 'number' && Number.isFinite(each))) return undefined;
  return { variant, steps, nfe, ms, denoiseMs } as Measured;
}

/** @throws HyperBagelError BAD_OPTION */
export function checkCount(name: string, count: number, most: number): void {
  if (Number.isInteger(count) && count >= 0 && count <= most) return;
  const expected = `an integer from 0 to ${most}`;
  throw new HyperBagelError('BAD_OPTION', `${name} must be ${expected}, got ${count}`, {
    operand: name,
    expected,
    got: String(count),
  });
}
