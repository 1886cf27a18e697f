// What `sample` and the ops beside it share: rows of logits with settings, and what the settings keep.
import { type CaseOperand, counts, normals, operand, type Rng, values } from './cases.js';

/** What a row asks for; filters are off by default. */
export interface Ask {
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
}

export type Logits = (rng: Rng, n: number, v: number) => ArrayLike<number>;

export const spread =
  (scale: number): Logits =>
  (rng, n, v) =>
    normals(rng, 'f32', [n, v], { scale }).data;
/** Few different values, so that most of the ranking is ties. */
export const steps =
  (count: number): Logits =>
  (rng, n, v) =>
    Float64Array.from({ length: n * v }, () => Math.floor(rng() * count));
/** Normal logits of which most are masked. */
export const masked: Logits = (rng, n, v) =>
  Float64Array.from(spread(3)(rng, n, v), (x) => (rng() < 0.9 ? -Infinity : x));

/** Which of the settings each row takes, row for row unless said otherwise, and how many rows are live. */
export interface Rows {
  rows?: number;
  seq?: number[];
}

/** The operands of rows of logits and their settings. */
export function settingOperands(
  rng: Rng,
  v: number,
  asks: readonly Ask[],
  logits: Logits,
  { rows, seq = asks.map((_, i) => i) }: Rows = {},
): Record<string, CaseOperand> {
  const n = seq.length;
  const column = (pick: (ask: Ask) => number) => values('f32', [asks.length], asks.map(pick));
  return {
    logits: values('f32', [n, v], logits(rng, n, v)),
    seq: counts(seq),
    temperature: column((ask) => ask.temperature ?? 1),
    top_k: counts(asks.map((ask) => ask.topK ?? 0)),
    top_p: column((ask) => ask.topP ?? 1),
    min_p: column((ask) => ask.minP ?? 0),
    ...(rows === undefined ? {} : { rows: counts([rows]) }),
  };
}

/** A row with one special element among ordinary ones, or filled with one value; settings to go with each. */
export function brokenRows(): { asks: Ask[]; logits: Logits } {
  const rows: ((i: number) => number)[] = [
    (i) => (i === 3 ? NaN : i % 5),
    (i) => (i === 3 || i === 9 ? Infinity : i % 5),
    () => -Infinity,
    () => NaN,
    (i) => (i < 2 ? NaN : -Infinity),
    (i) => (i === 0 ? NaN : 7),
    (i) => i % 5,
  ];
  return {
    asks: rows.map((_, i): Ask => ({ temperature: i % 2 === 0 ? 0 : 1, topK: 4 })),
    logits: (_rng, n, v) =>
      Float64Array.from({ length: n * v }, (_, i) => (rows[Math.floor(i / v)] ?? (() => 0))(i % v)),
  };
}

/** The ids that a row's settings keep, rising, and (logit - largest logit) / temperature of every id. */
export interface Kept {
  ids: number[];
  scaled: Float64Array;
}

/** By the contract of `sample`, in float64. A greedy or broken row keeps one id. */
export function keptIds(operands: Record<string, CaseOperand>, row: number): Kept {
  const logits = operand(operands, 'logits');
  const v = logits.shape[1] as number;
  const number = (name: string) => operand(operands, name).data[sequenceOf(operands, row)] as number;
  const x = logits.data.subarray(row * v, (row + 1) * v);
  let largest = -Infinity;
  let ordinary = true;
  for (const l of x) {
    if (l > largest) largest = l;
    if (Number.isNaN(l)) ordinary = false;
  }
  const temperature = number('temperature');
  if (!ordinary || !Number.isFinite(largest) || !(temperature > 0)) {
    return { ids: [Math.max(0, x.indexOf(largest as never))], scaled: new Float64Array(v) };
  }
  const scaled = Float64Array.from(x, (l) => (l === largest ? 0 : (l - largest) / Math.min(temperature, 3.4e38)));
  let kept = Array.from({ length: v }, (_, id) => id);
  const topK = number('top_k');
  const topP = number('top_p');
  const minP = number('min_p');
  if ((topK > 0 && topK < v) || topP < 1) kept.sort((a, b) => (x[b] as number) - (x[a] as number) || a - b);
  if (topK > 0) kept = kept.slice(0, topK);
  if (topP < 1) {
    let total = 0;
    for (const id of kept) total += Math.exp(scaled[id] as number);
    let before = 0;
    let count = 0;
    while (count < kept.length && (count === 0 || before < topP * total))
      before += Math.exp(scaled[kept[count++] as number] as number);
    kept = kept.slice(0, count);
  }
  if (minP > 0) kept = kept.filter((id) => Math.exp(scaled[id] as number) >= Math.min(minP, 1));
  return { ids: kept.sort((a, b) => a - b), scaled };
}

/** The settings that a row takes. */
export function sequenceOf(operands: Record<string, CaseOperand>, row: number): number {
  const batch = operand(operands, 'temperature').data.length;
  return Math.min(Math.max(operand(operands, 'seq').data[row] as number, 0), batch - 1);
}

/** Live rows of a case. */
export function liveRows(operands: Record<string, CaseOperand>): number {
  const n = operand(operands, 'logits').shape[0] as number;
  return operands.rows ? Math.min(n, Number(operands.rows.data[0])) : n;
}
