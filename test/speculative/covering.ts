// Covering arrays: few rows in which all pairs of levels of different factors meet.
import type { Rng } from '../kit/cases.js';

export type Level = string | number | boolean;
export type Row<F extends Record<string, readonly Level[]>> = { [K in keyof F]: F[K][number] };

/** Builds rows one by one, each the best of some random ones by the pairs that it adds. */
export class CoveringArray<F extends Record<string, readonly Level[]>> {
  readonly #names: (keyof F & string)[];
  readonly #seen = new Set<string>();

  /** @param allowed rows that may occur; pairs that no row may have do not count */
  constructor(
    private readonly factors: F,
    private readonly allowed: (row: Row<F>) => boolean = () => true,
  ) {
    this.#names = Object.keys(factors);
  }

  /** A row with some levels given; it counts as taken. */
  next(rng: Rng, given: Partial<Row<F>> = {}): Row<F> {
    let best: Row<F> | undefined;
    let most = -1;
    for (let i = 0; i < 60; i++) {
      const row = this.#random(rng, given);
      if (!row) continue;
      const gain = this.#pairs(row).filter((pair) => !this.#seen.has(pair)).length;
      if (gain > most) [best, most] = [row, gain];
    }
    if (!best) throw new Error(`no row has ${JSON.stringify(given)}`);
    for (const pair of this.#pairs(best)) this.#seen.add(pair);
    return best;
  }

  /** Pairs of levels that have met, and all there are. */
  get pairs(): { met: number; all: number } {
    let all = 0;
    this.#names.forEach((a, i) => {
      for (const b of this.#names.slice(i + 1)) all += (this.factors[a]?.length ?? 0) * (this.factors[b]?.length ?? 0);
    });
    return { met: this.#seen.size, all };
  }

  #random(rng: Rng, given: Partial<Row<F>>): Row<F> | undefined {
    const row = {} as Row<F>;
    for (const name of this.#names) {
      const levels = this.factors[name] as readonly Level[];
      row[name] = given[name] ?? (levels[Math.floor(rng() * levels.length)] as Level);
    }
    return this.allowed(row) ? row : undefined;
  }

  #pairs(row: Row<F>): string[] {
    return this.#names.flatMap((a, i) => this.#names.slice(i + 1).map((b) => `${a}=${row[a]} ${b}=${row[b]}`));
  }
}
