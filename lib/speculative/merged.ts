import type { DraftBudget, HostDrafter } from './drafter.js';
import { DraftTree } from './tree.js';

/** Several drafters on the JavaScript thread as one: each is asked for the whole budget, the best of their nodes stay. */
export class MergedDrafter implements HostDrafter {
  readonly kind = 'host';
  readonly name: string;
  readonly #drafters: readonly HostDrafter[];

  constructor(drafters: readonly HostDrafter[]) {
    this.#drafters = drafters;
    this.name = drafters.map(({ name }) => name).join(' + ');
  }

  start(prompt: readonly number[]): void {
    for (const drafter of this.#drafters) drafter.start(prompt);
  }

  observe(tokens: readonly number[]): void {
    for (const drafter of this.#drafters) drafter.observe(tokens);
  }

  propose(budget: DraftBudget): DraftTree | undefined {
    const trees = this.#drafters.flatMap((drafter) => {
      const proposal = drafter.propose(budget);
      return proposal ? [DraftTree.from(proposal)] : [];
    });
    return trees.length > 0 ? DraftTree.merge(trees, budget) : undefined;
  }

  finish(): void {
    for (const drafter of this.#drafters) drafter.finish();
  }

  fork(): MergedDrafter {
    return new MergedDrafter(this.#drafters.map((drafter) => drafter.fork()));
  }

  reset(): void {
    for (const drafter of this.#drafters) drafter.reset();
  }
}
