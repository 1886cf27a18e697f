import { PAGE_SLOTS, type Sequence } from '../cache/pages.js';
import type { DType } from '../tensor/dtype.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Decoder } from './decoder.js';
import { type DraftTree, MAX_DRAFTED } from './tree.js';

/** How tokens are chosen. */
export interface Sampling {
  /** 0: the largest logit. */
  temperature: number;
  /** 0: all. */
  topK: number;
  /** 1: all. */
  topP: number;
  /** 0: all. */
  minP: number;
  /** 1: none. */
  repetitionPenalty: number;
  seed: number;
}

/** One sequence at the beginning of an answer. */
export interface DecodeStart {
  /** Has room for `limit` tokens and one tree behind its end. */
  sequence: Sequence;
  /** The token that is fed first. */
  first: number;
  /** Most tokens to choose. */
  limit: number;
  /** Tokens that end the answer; at most 8. */
  stop: readonly number[];
  sampling: Sampling;
}

/** A tree to verify, cut to its best nodes. */
export interface Draft {
  tree: DraftTree;
  /** Drafted nodes at most. */
  nodes: number;
}

/** A draft that may have been made before the answer's last tokens: what is left of its tree below them is verified. */
export interface Proposal extends Draft {
  /** Tokens of the answer that the tree comes after. */
  since: number;
}

const STOP_TOKENS = 8;

/** Low and high halves of a seed below 2^53. */
export const seedWords = (seed: number): [number, number] => [seed | 0, Math.floor(seed / 2 ** 32) | 0];

/** The device-side state of B sequences that decode together: what rounds read and write. Rows start out finished. */
export class DecodeState {
  readonly size: number;
  /** [B] token that the next round feeds, its position and slot; tokens of the answer so far; 0 while running. */
  readonly tokens: Tensor<'i32'>;
  readonly positions: Tensor<'i32'>;
  readonly slots: Tensor<'i32'>;
  readonly output: Tensor<'i32'>;
  readonly finished: Tensor<'i32'>;
  /** [B] most tokens of the answer, and slots that the sequence's pages hold. */
  readonly limit: Tensor<'i32'>;
  readonly capacity: Tensor<'i32'>;
  /** [B, 8] */
  readonly stop: Tensor<'i32'>;
  /** [B, P] */
  readonly pageTable: Tensor<'i32'>;
  /** [B, L] */
  readonly history: Tensor<'i32'>;
  /** [B] how tokens are chosen. */
  readonly temperature: Tensor<'f32'>;
  readonly topK: Tensor<'i32'>;
  readonly topP: Tensor<'f32'>;
  readonly minP: Tensor<'f32'>;
  readonly penalty: Tensor<'f32'>;
  /** [B, 2] */
  readonly seed: Tensor<'i32'>;
  /** [B, C] candidates of the next round's trees. */
  readonly candidateTokens: Tensor<'i32'>;
  readonly candidateParents: Tensor<'i32'>;
  readonly candidateValues: Tensor<'f32'>;
  /** [B, C] their values where they compete with another drafter's; written then only. */
  readonly candidateLogs: Tensor<'f32'>;
  /** [B] how many candidates, the most nodes of a tree, and the tokens of the answer that the candidates come after. */
  readonly candidateCount: Tensor<'i32'>;
  readonly budget: Tensor<'i32'>;
  readonly since: Tensor<'i32'>;
  /** [B] the budget of a plain step. */
  readonly single: Tensor<'i32'>;
  readonly #tablePages: number;
  /** What is written together lies together: what a host drafter writes, and what a sequence starts with. */
  readonly #draft: Tensor<'i32'>;
  readonly #ints: Tensor<'i32'>;
  readonly #floats: Tensor<'f32'>;
  /** What goes to `#draft`: a write copies. */
  readonly #words: Int32Array;
  readonly #made: Tensor[] = [];
  /** Views of one row, made when first needed. */
  readonly #rows = new Map<string, Tensor<DType>>();

  constructor({ cx, tablePages, maxPositions }: Decoder, size: number) {
    this.#tablePages = tablePages;
    this.size = size;
    const keep = <T extends Tensor>(tensor: T): T => {
      this.#made.push(tensor);
      return tensor;
    };
    /** Tensors [size, columns] that lie one behind the other in one. */
    const block = <D extends 'i32' | 'f32'>(dtype: D, columns: readonly number[]) => {
      const whole = keep(cx.zeros(dtype, [size * columns.reduce((sum, n) => sum + n, 0)]));
      let at = 0;
      const parts = columns.map((n) => {
        const part = keep(whole.rows(at, at + size * n));
        at += size * n;
        return n === 1 ? part : keep(part.reshape([size, n]));
      });
      return { whole, parts };
    };
    const c = MAX_DRAFTED;
    const draft = block('i32', [c, c, 1, 1, 1]);
    this.#draft = draft.whole;
    this.#words = new Int32Array(this.#draft.elements);
    [this.candidateTokens, this.candidateParents, this.candidateCount, this.budget] = draft.parts as Four<'i32'>;
    this.since = draft.parts[4] as Tensor<'i32'>;
    this.candidateValues = keep(cx.zeros('f32', [size, c]));
    this.candidateValues.write(Float32Array.from({ length: size * c }, (_, i) => -(i % c)));
    const ints = block('i32', [1, 1, 1, 1, 1, 1, STOP_TOKENS, tablePages, 1, 2, 1]);
    this.#ints = ints.whole;
    [this.tokens, this.positions, this.slots, this.output] = ints.parts as Four<'i32'>;
    [this.limit, this.capacity, this.stop, this.pageTable] = ints.parts.slice(4) as Four<'i32'>;
    [this.topK, this.seed, this.finished] = ints.parts.slice(8) as Four<'i32'>;
    const floats = block('f32', [1, 1, 1, 1]);
    this.#floats = floats.whole;
    [this.temperature, this.topP, this.minP, this.penalty] = floats.parts as Four<'f32'>;
    this.history = keep(cx.zeros('i32', [size, maxPositions]));
    this.candidateLogs = keep(cx.zeros('f32', [size, c]));
    this.single = keep(cx.zeros('i32', [size])).write(Int32Array.from({ length: size }, () => 1));
    this.reset();
  }

  /** No sequence runs, none has candidates; writes that a cancelled activity never made are made up for. */
  reset(): void {
    this.finished.write(Array.from({ length: this.size }, () => 2));
    this.#draft.clear();
  }

  /** Points row `b`, whose sequence has finished, at another one. In queue order. */
  start(b: number, { sequence, first, limit, stop, sampling }: DecodeStart): void {
    const { size } = this;
    const pages = new Int32Array(this.#tablePages);
    pages.set(sequence.pages);
    const stops = Array.from({ length: STOP_TOKENS }, (_, i) => stop[i] ?? -1);
    const ints: [RowName, ArrayLike<number>][] = [
      ['tokens', [first]],
      ['positions', [sequence.position]],
      ['slots', [sequence.length]],
      ['output', [0]],
      ['limit', [limit]],
      ['capacity', [sequence.pages.length * PAGE_SLOTS]],
      ['stop', stops],
      ['pageTable', pages],
      ['topK', [sampling.topK]],
      ['seed', seedWords(sampling.seed)],
      ['finished', [0]],
    ];
    const { temperature, topP, minP, repetitionPenalty } = sampling;
    const floats: [RowName, number][] = [
      ['temperature', temperature],
      ['topP', topP],
      ['minP', minP],
      ['penalty', repetitionPenalty],
    ];
    if (size === 1) {
      // the whole of it, in the order in which it lies there
      this.#ints.write(ints.flatMap(([, values]) => Array.from(values)));
      this.#floats.write(floats.map(([, value]) => value));
      return;
    }
    for (const [name, value] of floats) this.#row(name, b).write([value]);
    for (const [name, values] of ints) this.#row(name, b).write(Array.from(values));
  }

  /** Ends the answer of row `b` with its next token. In queue order. */
  end(b: number): void {
    this.#row('limit', b).clear();
  }

  /**
   * Sets the candidates of the next round: a draft per row, or none. They go best first, so that their order is their value and one
   * write is enough.
   *
   * @param onDevice of rows whose candidates are on the device, all of their trees' nodes without the root; given, values are
   * written too, for both to be compared by
   */
  propose(drafts: readonly (Proposal | undefined)[], onDevice?: readonly (number | undefined)[]): void {
    const { size } = this;
    const c = MAX_DRAFTED;
    const words = this.#words.fill(0);
    const logs = onDevice && drafts.some((draft) => draft) ? new Float32Array(size * c) : undefined;
    onDevice?.forEach((nodes, b) => {
      words[2 * size * c + size + b] = (nodes ?? 0) + 1;
    });
    drafts.forEach((draft, b) => {
      if (!draft) return;
      const { tree, nodes, since } = draft;
      const { order } = tree;
      const place = new Int16Array(tree.size);
      order.forEach((node, i) => {
        const parent = tree.parents[node] as number;
        place[node] = i;
        words[b * c + i] = tree.tokens[node] as number;
        if (logs) logs[b * c + i] = tree.values[node] as number;
        words[(size + b) * c + i] = parent < 0 ? -1 : (place[parent] as number);
      });
      words[2 * size * c + b] = tree.size;
      words[2 * size * c + size + b] = (onDevice?.[b] ?? nodes) + 1;
      words[2 * size * c + 2 * size + b] = since;
    });
    this.#draft.write(words);
    if (logs) this.candidateLogs.write(logs);
  }

  dispose(): void {
    for (const tensor of [...this.#rows.values(), ...this.#made]) tensor.dispose();
  }

  #row<K extends RowName>(name: K, b: number): DecodeState[K] {
    const key = `${name} ${b}`;
    let row = this.#rows.get(key);
    if (!row) {
      row = this[name].rows(b, b + 1) as Tensor<DType>;
      this.#rows.set(key, row);
    }
    return row as DecodeState[K];
  }
}

type Four<D extends DType> = [Tensor<D>, Tensor<D>, Tensor<D>, Tensor<D>];

type RowName =
  | 'tokens'
  | 'positions'
  | 'slots'
  | 'output'
  | 'finished'
  | 'limit'
  | 'capacity'
  | 'stop'
  | 'pageTable'
  | 'temperature'
  | 'topK'
  | 'topP'
  | 'minP'
  | 'penalty'
  | 'seed';
