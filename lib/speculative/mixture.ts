/** Cells by length of the context, times that it went on and number of its continuations: lower bounds. */
const LENGTHS = [1, 2, 3, 4, 6, 9];
const TOTALS = [1, 2, 4, 8, 16, 64];
const DISTINCT = [1, 2, 4];

/** Index of the last bound that is not above a value. */
function bucket(bounds: readonly number[], value: number): number {
  let i = bounds.length - 1;
  while (i > 0 && (bounds[i] as number) > value) i--;
  return i;
}

/** What a count is lowered by in favour of shorter contexts, and the strength of the prior: a Pitman-Yor process (Teh 2006). */
export const DISCOUNT = 0.7;
const STRENGTH = 0.6;
/** Tokens that the prior counts for, and after how many the past is halved. */
const TRUST = 12;
const MEMORY = 512;

/**
 * How much of a prediction passes from a context on to the next shorter one: weights of a linear interpolation, shared by contexts of
 * about the same length and counts, and learnt token by token from what was emitted, by expectation maximisation (Jelinek and Mercer
 * 1980; Pitman-Yor estimates to begin with). So a long context that was met once is worth much in a text that copies, and
 * little in one that does not.
 */
export class MixtureWeights {
  readonly #visits = new Float64Array(LENGTHS.length * TOTALS.length * DISTINCT.length);
  readonly #passes = new Float64Array(LENGTHS.length * TOTALS.length * DISTINCT.length);

  cell(length: number, total: number, distinct: number): number {
    const at = bucket(LENGTHS, length) * TOTALS.length + bucket(TOTALS, total);
    return at * DISTINCT.length + bucket(DISTINCT, distinct);
  }

  /** The part that a context of this cell passes on, between 0 and 1. */
  pass(cell: number, total: number, distinct: number): number {
    const prior = (STRENGTH + DISCOUNT * distinct) / (total + STRENGTH);
    return ((this.#passes[cell] as number) + TRUST * prior) / ((this.#visits[cell] as number) + TRUST);
  }

  /** The prediction of a token reached a context of this cell with probability `reached`, and went on with `passed`. */
  record(cell: number, reached: number, passed: number): void {
    const visits = (this.#visits[cell] as number) + reached;
    const scale = visits > MEMORY ? 0.5 : 1;
    this.#visits[cell] = visits * scale;
    this.#passes[cell] = ((this.#passes[cell] as number) + passed) * scale;
  }

  clear(): void {
    this.#visits.fill(0);
    this.#passes.fill(0);
  }
}
