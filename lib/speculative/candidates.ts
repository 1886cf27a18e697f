/** Candidates by value, largest first; those put in first come first among equals. */
export class Candidates {
  parent = 0;
  token = 0;
  value = 0;
  readonly #parents: number[] = [];
  readonly #tokens: number[] = [];
  readonly #values: number[] = [];
  /** Indexes into the lists, as a binary heap. */
  readonly #heap: number[] = [];

  clear(): void {
    this.#parents.length = 0;
    this.#tokens.length = 0;
    this.#values.length = 0;
    this.#heap.length = 0;
  }

  push(parent: number, token: number, value: number): void {
    const heap = this.#heap;
    const id = this.#parents.length;
    this.#parents.push(parent);
    this.#tokens.push(token);
    this.#values.push(value);
    let at = heap.length;
    heap.push(id);
    while (at > 0) {
      const up = (at - 1) >> 1;
      if (!this.#before(id, heap[up] as number)) break;
      heap[at] = heap[up] as number;
      at = up;
    }
    heap[at] = id;
  }

  /** Takes the best; false when there is none. */
  pop(): boolean {
    const heap = this.#heap;
    const best = heap[0];
    if (best === undefined) return false;
    this.parent = this.#parents[best] as number;
    this.token = this.#tokens[best] as number;
    this.value = this.#values[best] as number;
    const id = heap.pop() as number;
    if (heap.length === 0) return true;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      if (down >= heap.length) break;
      if (down + 1 < heap.length && this.#before(heap[down + 1] as number, heap[down] as number)) down++;
      if (!this.#before(heap[down] as number, id)) break;
      heap[at] = heap[down] as number;
      at = down;
    }
    heap[at] = id;
    return true;
  }

  #before(a: number, b: number): boolean {
    const difference = (this.#values[a] as number) - (this.#values[b] as number);
    return difference > 0 || (difference === 0 && a < b);
  }
}
