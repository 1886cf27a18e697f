/**
 * Rates of yes and no, one per cell, that never rise from a cell to the next: running means pulled towards prior rates, made
 * monotone by pooling neighbours that violate the order (isotonic regression, Ayer et al. 1955).
 */
export class IsotonicTable {
  readonly #prior: Float64Array;
  readonly #weight: Float64Array;
  readonly #sum: Float64Array;
  readonly #rate: Float64Array;
  #stale = true;

  /** @param prior never rising rates; @param strength outcomes that a prior rate counts for */
  constructor(
    prior: readonly number[],
    private readonly strength: number,
  ) {
    this.#prior = Float64Array.from(prior);
    this.#weight = new Float64Array(prior.length);
    this.#sum = new Float64Array(prior.length);
    this.#rate = new Float64Array(prior.length);
  }

  get length(): number {
    return this.#prior.length;
  }

  add(cell: number, outcome: boolean): void {
    (this.#weight[cell] as number)++;
    if (outcome) (this.#sum[cell] as number)++;
    this.#stale = true;
  }

  /** Lets the past count for less. */
  forget(factor: number): void {
    for (let i = 0; i < this.length; i++) {
      (this.#weight[i] as number) *= factor;
      (this.#sum[i] as number) *= factor;
    }
    this.#stale = true;
  }

  rate(cell: number): number {
    if (this.#stale) this.#pool();
    return this.#rate[cell] as number;
  }

  #pool(): void {
    this.#stale = false;
    const rates: number[] = [];
    const weights: number[] = [];
    const cells: number[] = [];
    for (let i = 0; i < this.length; i++) {
      let weight = (this.#weight[i] as number) + this.strength;
      let rate = ((this.#sum[i] as number) + this.strength * (this.#prior[i] as number)) / weight;
      let size = 1;
      while (rates.length > 0 && (rates.at(-1) as number) < rate) {
        const w = weights.pop() as number;
        rate = (rate * weight + (rates.pop() as number) * w) / (weight + w);
        weight += w;
        size += cells.pop() as number;
      }
      rates.push(rate);
      weights.push(weight);
      cells.push(size);
    }
    let at = 0;
    rates.forEach((rate, block) => {
      this.#rate.fill(rate, at, at + (cells[block] as number));
      at += cells[block] as number;
    });
  }
}

/** What turns a drafter's estimate into a probability. */
export interface Acceptance {
  /** @param value logarithm of the drafter's estimate that a node is accepted */
  estimate(value: number): number;
}

/** Width of a bucket of values, in nats; the last one is open. */
const BUCKET = 0.25;
const BUCKETS = 32;
/** Verified nodes that an estimate counts for before it is doubted. */
const TRUST = 6;

/** How often nodes of a given estimate were really accepted: an isotonic table over buckets of values, interpolated. */
export class AcceptanceCalibration implements Acceptance {
  readonly #table = new IsotonicTable(
    Array.from({ length: BUCKETS }, (_, b) => Math.exp(-(b + 0.5) * BUCKET)),
    TRUST,
  );

  estimate(value: number): number {
    const at = -value / BUCKET - 0.5;
    if (!(at < BUCKETS - 1))
      return this.#table.rate(BUCKETS - 1) * Math.exp(Math.min(0, value + (BUCKETS - 0.5) * BUCKET));
    if (at <= 0) return this.#table.rate(0);
    const low = Math.floor(at);
    return this.#table.rate(low) + (at - low) * (this.#table.rate(low + 1) - this.#table.rate(low));
  }

  /** @param accepted indexes into `values` of the nodes that were accepted */
  record(values: ArrayLike<number>, accepted: readonly number[]): void {
    for (let i = 0; i < values.length; i++) {
      const bucket = Math.min(BUCKETS - 1, Math.max(0, Math.floor(-(values[i] as number) / BUCKET)));
      this.#table.add(bucket, accepted.includes(i));
    }
  }

  forget(factor: number): void {
    this.#table.forget(factor);
  }
}
