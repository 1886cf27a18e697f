import type { Sequence } from '../../cache/pages.js';
import type { Image } from '../../io/image.js';
import type { Branches } from './branch-state.js';
import type { BagelModel } from './model.js';
import { settle } from './session.js';

/** The public model's instructions for its thinking modes, token for token (bagel.md 3.5). */
export const THINK_PROMPTS = {
  understanding:
    'You should first think about the reasoning process in the mind and then provide the user with the answer. \n' +
    'The reasoning process is enclosed within <think> </think> tags, i.e. <think> reasoning process here </think> answer here',
  generation:
    'You should first think about the planning process in the mind and then generate the image. \n' +
    'The planning process is enclosed within <think> </think> tags, i.e. <think> planning process here </think> image here',
};

/** Tokens of contexts that were computed, and that were there already. */
export interface ContextTokens {
  computed: number;
  reused: number;
}

/** Sequences of one picture, and what they cost. Whoever gets them releases them. */
export interface PictureContexts {
  branches: Branches;
  tokens: ContextTokens;
}

/** Token ids in a cache sequence behind `prefix` slots; texts that share a beginning share its slots. */
interface Remembered {
  ids: readonly number[];
  prefix: number;
  sequence: Sequence;
}

/**
 * Builds the contexts of a picture (bagel.md 3.6): full [system] [pictures] text, without the text, and without the pictures. It
 * remembers what it built last, so that another text over the same pictures computes only what differs: a row of the cache depends
 * on the rows before it alone.
 */
export class ContextBuilder {
  /** System text and pictures, by whether there is a system text. */
  readonly #prefixes = new Map<boolean, Sequence>();
  readonly #last = new Map<string, Remembered>();

  #remembers: boolean;

  /** @param remembers keeps what it builds for the next text, until it is disposed */
  constructor(
    private readonly model: BagelModel,
    private readonly images: readonly Image[],
    remembers: boolean,
  ) {
    this.#remembers = remembers;
  }

  /**
   * @param think puts the system text in front
   * @param needs contexts that some step evaluates, besides the full one
   * @throws HyperBagelError CONTEXT_FULL, CANCELLED; nothing is held then
   */
  async build(
    text: string,
    {
      think = false,
      needs,
      signal,
    }: { think?: boolean | undefined; needs: { noText: boolean; noImage: boolean }; signal?: AbortSignal | undefined },
  ): Promise<PictureContexts> {
    const { model } = this;
    const ids = model.frame(text);
    const system = think ? model.frame(THINK_PROMPTS.generation) : [];
    const tokens: ContextTokens = { computed: 0, reused: 0 };
    const made: Sequence[] = [];
    const own = (sequence: Sequence) => {
      made.push(sequence);
      return sequence;
    };
    const fresh = new Map<string, Remembered>();
    let freshPrefix: Sequence | undefined;
    try {
      const branches: Partial<Branches> = {};
      await settle(model, 'context', signal, () => {
        let prefix = this.#prefixes.get(think);
        if (prefix) tokens.reused += prefix.length;
        else {
          prefix = own(model.sequence());
          model.appendTokens(prefix, system);
          for (const image of this.images) {
            model.appendLatents(prefix, image);
            model.appendVision(prefix, image);
          }
          tokens.computed += prefix.length;
          freshPrefix = prefix;
        }
        const extend = (key: string, base: Sequence, list: readonly number[]) => {
          const last = this.#last.get(key);
          const sequence = own(last ? last.sequence.fork() : base.fork());
          const common = last ? commonLength(last.ids, list) : 0;
          if (last) shorten(sequence, last.prefix + common, last.ids.length - common);
          model.appendTokens(sequence, list.slice(common));
          tokens.computed += list.length - common;
          tokens.reused += common;
          if (this.#remembers) fresh.set(key, { ids: list, prefix: base.length, sequence: own(sequence.fork()) });
          return sequence;
        };
        branches.full = extend(`full ${think}`, prefix, ids);
        if (needs.noText) branches.noText = own(prefix.fork());
        if (needs.noImage) {
          if (this.images.length === 0) branches.noImage = own(branches.full.fork());
          else {
            const empty = own(model.sequence());
            branches.noImage = extend(`noImage ${think}`, empty, [...system, ...ids]);
          }
        }
      });
      const held = new Set(Object.values(branches) as Sequence[]);
      if (this.#remembers) {
        if (freshPrefix && !this.#prefixes.has(think)) {
          this.#prefixes.set(think, freshPrefix);
          held.add(freshPrefix);
        }
        for (const [key, remembered] of fresh) {
          this.#last.get(key)?.sequence.release();
          this.#last.set(key, remembered);
          held.add(remembered.sequence);
        }
      }
      for (const sequence of made) if (!held.has(sequence)) sequence.release();
      return { branches: branches as Branches, tokens };
    } catch (error) {
      for (const sequence of made) sequence.release();
      throw error;
    }
  }

  /** Tokens that it remembers; texts behind the same pictures share those of the pictures. */
  get remembered(): number {
    let tokens = 0;
    for (const { length } of this.#prefixes.values()) tokens += length;
    for (const { ids } of this.#last.values()) tokens += ids.length;
    return tokens;
  }

  /** Gives back what it remembers; what is being built is not remembered any more. */
  dispose(): void {
    this.#remembers = false;
    for (const sequence of this.#prefixes.values()) sequence.release();
    for (const { sequence } of this.#last.values()) sequence.release();
    this.#prefixes.clear();
    this.#last.clear();
  }
}

function commonLength(a: readonly number[], b: readonly number[]): number {
  let n = 0;
  while (n < a.length && n < b.length && a[n] === b[n]) n++;
  return n;
}

/** Drops the last `dropped` text tokens of a sequence. */
function shorten(sequence: Sequence, length: number, dropped: number): void {
  sequence.length = length;
  sequence.position -= dropped;
  sequence.trim();
}

/** Gives a picture's contexts back; branches may share a sequence. */
export function releaseBranches(branches: Branches): void {
  for (const sequence of new Set(Object.values(branches) as (Sequence | undefined)[])) sequence?.release();
}
