import { HyperBagelError } from '../errors.js';

/** Cache slots per page; the native side checks it against the caches' shape. */
export const PAGE_SLOTS = 64;

/** Pages that hold this many slots. */
export const pagesFor = (slots: number): number => Math.ceil(slots / PAGE_SLOTS);

/** Counts the holders of every cache page. Integers only: the data is the ops' business. */
export class PagePool {
  readonly total: number;
  readonly #free: number[];
  readonly #holders: Uint32Array;

  constructor(total: number) {
    this.total = total;
    this.#holders = new Uint32Array(total);
    this.#free = Array.from({ length: total }, (_, i) => total - 1 - i);
  }

  get free(): number {
    return this.#free.length;
  }

  /** @throws HyperBagelError CONTEXT_FULL; then nothing was taken. */
  take(count: number): number[] {
    if (count > this.#free.length) {
      throw new HyperBagelError(
        'CONTEXT_FULL',
        `the cache has ${this.#free.length} free pages of ${PAGE_SLOTS} tokens, ${count} are needed; dispose sessions or load with more cacheTokens`,
        { operand: 'cacheTokens', expected: `${count} free pages`, got: `${this.#free.length}` },
      );
    }
    const pages = this.#free.splice(this.#free.length - count, count).reverse();
    for (const page of pages) this.#holders[page] = 1;
    return pages;
  }

  retain(pages: readonly number[]): void {
    for (const page of pages) this.#count(page, 1);
  }

  release(pages: readonly number[]): void {
    for (const page of pages) {
      if (this.#count(page, -1) === 0) this.#free.push(page);
    }
  }

  #count(page: number, change: number): number {
    const holders = (this.#holders[page] as number) + change;
    this.#holders[page] = holders;
    return holders;
  }

  isShared(page: number): boolean {
    return (this.#holders[page] as number) > 1;
  }
}

/**
 * One sequence of the cache: its pages, its committed length in slots and its next rotary position (an image advances the
 * position by one, whatever its number of slots).
 */
export class Sequence {
  length = 0;
  position = 0;
  /** What a draft head keeps about the end of the sequence; it is replaced as a whole, never changed, so that forks may share it. */
  draft: object | undefined;
  #pages: number[] = [];
  #released = false;

  constructor(
    private readonly pool: PagePool,
    /** Most slots of a sequence. */
    private readonly limit: number,
  ) {}

  get pages(): readonly number[] {
    return this.#pages;
  }

  /** A sequence with the same content, by reference: no data moves until one of the two grows. */
  fork(): Sequence {
    const copy = new Sequence(this.pool, this.limit);
    copy.length = this.length;
    copy.position = this.position;
    copy.draft = this.draft;
    copy.#pages = this.#pages.slice(0, pagesFor(this.length));
    this.pool.retain(copy.#pages);
    return copy;
  }

  /**
   * Makes room for more slots behind the committed end and makes the last, partly filled page this sequence's own; a full one too when
   * there is a draft head, whose last entry is still to come.
   *
   * @returns pairs of pages (from, to) whose data must be copied before anything is appended.
   * @throws HyperBagelError CONTEXT_FULL; then nothing has changed.
   */
  reserve(slots: number): [number, number][] {
    if (this.length + slots > this.limit) {
      throw new HyperBagelError(
        'CONTEXT_FULL',
        `the context holds ${this.length} tokens and has room for ${this.limit}; ${slots} more do not fit`,
        { expected: `at most ${this.limit - this.length} more tokens`, got: `${slots}` },
      );
    }
    const used = pagesFor(this.length);
    const partial = this.length % PAGE_SLOTS === 0 && !this.draft ? undefined : this.#pages[used - 1];
    const copied = partial !== undefined && slots > 0 && this.pool.isShared(partial);
    const missing = Math.max(0, pagesFor(this.length + slots) - this.#pages.length);
    const fresh = this.pool.take(missing + (copied ? 1 : 0));
    const pairs: [number, number][] = [];
    if (copied) {
      const own = fresh.pop() as number;
      pairs.push([partial, own]);
      this.pool.release([partial]);
      this.#pages[used - 1] = own;
    }
    this.#pages.push(...fresh);
    return pairs;
  }

  /** Gives back pages that hold no committed slot. */
  trim(): void {
    const kept = pagesFor(this.length);
    this.pool.release(this.#pages.splice(kept));
  }

  /** Gives back all pages. Idempotent. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.pool.release(this.#pages);
    this.#pages = [];
  }
}
