import type { OpCases, OracleTensor } from './cases.js';
import { coordinates, numbersOf, type Result } from './run-case.js';

export interface Comparison {
  /** What is wrong, with the worst coordinate; undefined when all is well. */
  complaint?: string;
  /** Largest error in units of the tolerance. */
  worst: number;
}

export interface Rule {
  /** Elements to compare, from the first: those of live rows. */
  count: number;
  exact: boolean;
  tolerance: OpCases['tolerance'];
}

/**
 * Compares a result with the oracle. Shapes first, then the places of NaN and infinities, then the largest error of each row of
 * the last dim relative to the largest expected magnitude in it.
 */
export function compare(got: Result, want: OracleTensor, rule: Rule): Comparison {
  const refuse = (complaint: string): Comparison => ({ complaint, worst: Number.POSITIVE_INFINITY });
  if (got.shape.join() !== want.shape.join()) return refuse(`shape [${got.shape}], expected [${want.shape}]`);
  const values = numbersOf(got);
  if (values.length !== want.data.length) return refuse(`${values.length} elements, expected ${want.data.length}`);
  const exact = rule.exact || got.dtype === 'i32' || got.dtype === 'u8';
  const allowed = rule.tolerance?.[got.dtype as 'f32' | 'bf16'];
  if (!exact && allowed === undefined) return refuse(`the cases give no tolerance for ${got.dtype}`);
  const at = (i: number) => `[${coordinates(i, want.shape)}] is ${values[i]}, expected ${want.data[i]}`;

  for (let i = 0; i < rule.count; i++) {
    const [g, w] = [values[i] as number, want.data[i] as number];
    if (Number.isFinite(w) ? !Number.isFinite(g) : !Object.is(g, w)) return refuse(at(i));
    if (exact && g !== w && Number.isFinite(w)) return refuse(at(i));
  }
  if (exact) return { worst: 0 };

  const width = Math.max(1, want.shape.at(-1) ?? 1);
  let worst = 0;
  let place = 0;
  for (let start = 0; start < rule.count; start += width) {
    let magnitude = 0;
    let error = 0;
    let index = start;
    for (let i = start; i < Math.min(rule.count, start + width); i++) {
      const w = want.data[i] as number;
      if (!Number.isFinite(w)) continue;
      magnitude = Math.max(magnitude, Math.abs(w));
      const e = Math.abs((values[i] as number) - w);
      if (e > error) [error, index] = [e, i];
    }
    const ratio = error / ((magnitude || 1) * (allowed as number));
    if (ratio > worst) [worst, place] = [ratio, index];
  }
  return worst > 1
    ? { complaint: `${at(place)}: ${worst.toFixed(2)} times the tolerance ${allowed}`, worst }
    : { worst };
}
