import { HyperBagelError } from '../../errors.js';
import type { ContextBuilder } from './contexts.js';
import type { Drawing, DrawOptions } from './draw-options.js';

/**
 * A picture that is edited again and again: its context stays in the cache, so that another instruction computes its own tokens only,
 * from where it differs from the last one; another seed computes none. Results have the bits that `Bagel.edit` gives. Their `context`
 * says what was computed and what was reused. Calls may overlap.
 */
export class Editor {
  /** Of the picture, after the model's resize rule. */
  readonly width: number;
  readonly height: number;
  readonly #contexts: ContextBuilder;
  readonly #edit: (instruction: string, options: DrawOptions) => Promise<Drawing>;
  #disposed = false;

  /** @internal */
  constructor(
    size: { width: number; height: number },
    contexts: ContextBuilder,
    edit: (instruction: string, options: DrawOptions) => Promise<Drawing>,
  ) {
    this.width = size.width;
    this.height = size.height;
    this.#contexts = contexts;
    this.#edit = edit;
  }

  /** Cache tokens that it keeps, the picture's and the last texts'. 0 before the first edit. */
  get tokens(): number {
    return this.#contexts.remembered;
  }

  /**
   * Edits the picture.
   *
   * @throws HyperBagelError BAD_OPTION, CONTEXT_FULL, CANCELLED, DISPOSED; the editor goes on
   */
  async edit(instruction: string, options: DrawOptions = {}): Promise<Drawing> {
    if (this.#disposed) throw new HyperBagelError('DISPOSED', 'the editor was disposed');
    return this.#edit(instruction, options);
  }

  /** Gives the cache back; edits on their way end by their own means. Idempotent. */
  dispose(): void {
    this.#disposed = true;
    this.#contexts.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
