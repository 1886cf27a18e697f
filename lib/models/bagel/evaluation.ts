import type { Program } from '../../tensor/program.js';
import type { Branches, BranchState } from './branch-state.js';

/** One evaluation of a batch of pictures in one set of branches: a program, or a function that runs op by op. */
export class Evaluation {
  constructor(
    /** Rows of each forward. */
    private readonly states: readonly BranchState[],
    private readonly program: Program<void> | (() => void),
  ) {}

  /** Points the rows to the contexts and scratch pages of each picture: see {@link BranchState.write}. */
  start(contexts: readonly Branches[], scratch: readonly (readonly number[])[]): void {
    let before = 0;
    for (const state of this.states) {
      state.write(contexts, scratch, before);
      before += state.names.length;
    }
  }

  /** Queues a run; its ticket, 0 when it is not a program. */
  run(): number {
    if (typeof this.program !== 'function') return this.program.run();
    this.program();
    return 0;
  }

  /** What its intermediates take. */
  get bytes(): number {
    return typeof this.program === 'function' ? 0 : this.program.describe().arenaBytes;
  }

  dispose(): void {
    if (typeof this.program !== 'function') this.program.dispose();
    for (const state of this.states) state.dispose();
  }
}
