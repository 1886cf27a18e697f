import type { Sequence } from '../../cache/pages.js';
import { HyperBagelError } from '../../errors.js';
import * as ops from '../../generated/ops.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { Candidates, DeviceDraft, DeviceDrafter, VerifiedRound } from '../drafter.js';
import type { DecodeStart, DecodeState } from '../state.js';
import type { DraftRows, EagleHead } from './head.js';
import type { FloatTensor } from './weights.js';

export interface EagleOptions {
  /** Children per node, and nodes that go on per level; 1 to 32. Default 6. */
  branch?: number | undefined;
  /** Deepest level of a tree. Default 6; (depth - 1) * branch is at most 128. */
  depth?: number | undefined;
  /** Temperature of the values under noise: below 1 the best child counts for more. Default 1.25. */
  beta?: number | undefined;
}

/** Rows of a segment that the target has computed, in any order. */
export interface FollowedRows {
  /** [n, hidden] what went into the layers. */
  x: FloatTensor;
  /** The tapped residual streams, [n, hidden] each. */
  taps: readonly FloatTensor[];
  /** Slot of each row, counted from the segment's first. */
  slots: readonly number[];
  /** Rotary position of each row. */
  positions: readonly number[];
}

/**
 * What is known at the end of a followed sequence; replaced as a whole, never changed, so that copies of the sequence may share
 * it.
 */
interface Mark {
  /** Committed slots when it was made. */
  length: number;
  /** Leading entries that are in the draft cache: `length`, or one less while the last one waits for the token after it. */
  fed: number;
  /** [1, hidden] feature of the last token, for the entry that waits. */
  feature?: FloatTensor | undefined;
}

/** Drafts trees with an EAGLE-3 head: as a part of each round for the next one, level by level (EAGLE-2, arXiv 2406.16858). */
export class EagleDrafter implements DeviceDrafter {
  readonly kind = 'device';
  readonly name = 'eagle';
  readonly taps: readonly number[];
  readonly vocabulary: number;
  readonly head: EagleHead;
  readonly branch: number;
  readonly depth: number;
  readonly beta: number;

  /** @throws HyperBagelError BAD_OPTION */
  constructor(head: EagleHead, { branch = 6, depth = 6, beta = 1.25 }: EagleOptions = {}) {
    const check = (name: string, value: number, low: number, high: number, whole: boolean) => {
      if (value >= low && value <= high && (!whole || Number.isInteger(value))) return;
      const expected = `${whole ? 'an integer' : 'a number'} from ${low} to ${high}`;
      throw new HyperBagelError('BAD_OPTION', `eagle: ${name} must be ${expected}, got ${value}`, {
        operand: name,
        expected,
        got: String(value),
      });
    };
    check('branch', branch, 1, 32, true);
    check('depth', depth, 1, Math.floor(128 / branch), true);
    check('beta', beta, 1e-3, 1e3, false);
    this.head = head;
    this.taps = head.config.taps;
    this.vocabulary = head.host.embedTokens.shape[0] as number;
    this.branch = branch;
    this.depth = depth;
    this.beta = beta;
  }

  follow(sequence: Sequence): void {
    if (sequence.length === 0) sequence.draft = { length: 0, fed: 0 } satisfies Mark;
  }

  /** @returns what the sequence keeps */
  append(sequence: Sequence, rows: FollowedRows): FloatTensor | undefined {
    const mark = sequence.draft as Mark | undefined;
    if (!mark) return undefined;
    const { cx, dtype } = this.head.host;
    const n = rows.slots.length;
    const order = new Array<number>(n);
    rows.slots.forEach((slot, row) => {
      order[slot] = row;
    });
    const sorted = order.every((row, slot) => row === slot);
    const ids = sorted ? undefined : cx.tensor('i32', [n], order);
    const inOrder = (x: FloatTensor) => (ids ? ops.embedding(cx, { table: x, ids, dtype }) : x);
    const features = this.head.fuse(rows.taps.map(inOrder));
    const embedded = inOrder(rows.x);
    const { length } = sequence;
    const positions = order.map((row) => rows.positions[row] as number);
    this.#feed(sequence, mark, { embedded, features, positions });
    const feature = ops.cast(cx, { x: features.rows(n - 1, n), dtype });
    sequence.draft = { length: length + n, fed: length + n - 1, feature } satisfies Mark;
    return feature;
  }

  settle(sequence: Sequence): void {
    if (sequence.draft) sequence.draft = { length: sequence.length, fed: sequence.length } satisfies Mark;
  }

  open(state: DecodeState): DeviceDraft {
    return new EagleDraft(this, state);
  }

  /**
   * Writes the entries of a sequence that are not there yet, up to the one before the last of `rows`, whose embedding completes
   * it. Entries whose features nobody has kept take zeros.
   *
   * @returns [entries, hidden] of the last layer, undefined when there are none
   */
  #feed(
    sequence: Sequence,
    mark: Mark,
    rows: { embedded: FloatTensor; features: FloatTensor | undefined; positions: readonly number[] },
  ): FloatTensor | undefined {
    const { cx, dtype, embedTokens } = this.head.host;
    const { length } = sequence;
    const n = rows.positions.length;
    const known = mark.length === length;
    const from = Math.max(0, known ? mark.fed : Math.min(mark.fed, length - 1));
    const waiting = length - from;
    const count = waiting + n - 1;
    if (count === 0) return undefined;
    const zeros = (k: number) => cx.zeros(dtype, [k, embedTokens.shape[1] as number]);
    const join = (parts: (FloatTensor | undefined)[]) =>
      parts
        .filter((part) => part !== undefined && part.shape[0] !== 0)
        .reduce((a, b) => ops.concatRows(cx, { a: a as FloatTensor, b: b as FloatTensor })) as FloatTensor;
    const kept = known && waiting === 1 ? mark.feature : undefined;
    const lead = waiting === 0 ? undefined : (kept ?? zeros(waiting));
    const features = join([lead, rows.features?.rows(0, n - 1)]);
    const embedded =
      waiting === 0 ? rows.embedded.rows(1, n) : join([waiting > 1 ? zeros(waiting - 1) : undefined, rows.embedded]);
    const ints = (values: number[]) => cx.tensor('i32', [values.length], values);
    const entries = Array.from({ length: count }, (_, i) => from + i);
    const { position } = sequence;
    return this.head.layers(embedded, features, {
      positions: ints(
        entries.map((t) =>
          t < length ? Math.max(0, position - (length - t)) : (rows.positions[t - length] as number),
        ),
      ),
      seq: cx.zeros('i32', [count]),
      slots: ints(entries),
      visible: ints(entries.map((t) => t + 1)),
      pageTable: cx.tensor('i32', [1, sequence.pages.length], [...sequence.pages]),
    });
  }

  /**
   * @internal The entry that waits for the first token of an answer. Queues work.
   *
   * @returns [1, hidden] its output; undefined for a sequence that is not followed, or empty
   */
  complete(sequence: Sequence, first: number): FloatTensor | undefined {
    const mark = sequence.draft as Mark | undefined;
    if (!mark || sequence.length === 0) return undefined;
    const { cx } = this.head.host;
    const embedded = this.head.embed(cx.tensor('i32', [1], [first]));
    const out = this.#feed(
      sequence,
      { ...mark, fed: Math.min(mark.fed, sequence.length - 1) },
      {
        embedded,
        features: undefined,
        positions: [sequence.position],
      },
    );
    return out?.rows((out.shape[0] as number) - 1, out.shape[0] as number);
  }
}

/** The drafter's part in the rounds of one decode state. */
class EagleDraft implements DeviceDraft {
  readonly candidates: Candidates;
  /** [B] 1: the row's answer wants drafts. */
  readonly #wanted: Tensor<'i32'>;
  readonly #drafter: EagleDrafter;
  readonly #state: DecodeState;

  constructor(drafter: EagleDrafter, state: DecodeState) {
    this.#drafter = drafter;
    this.#state = state;
    const { cx } = drafter.head.host;
    const { branch, depth } = drafter;
    const shape = [state.size, branch + (depth - 1) * branch ** 2];
    this.candidates = {
      tokens: cx.zeros('i32', shape),
      parents: cx.zeros('i32', shape),
      values: cx.zeros('f32', shape),
      count: cx.zeros('i32', [state.size]),
    };
    this.#wanted = cx.zeros('i32', [state.size]);
  }

  get depth(): number {
    return this.#drafter.depth;
  }

  start(b: number, { sequence, first }: DecodeStart): void {
    const { cx } = this.#drafter.head.host;
    cx.scope(() => {
      this.#wanted.rows(b, b + 1).write([1]);
      this.candidates.count.rows(b, b + 1).clear();
      const out = this.#drafter.complete(sequence, first);
      if (!out) return;
      this.#expand(out, cx.tensor('i32', [1], [b]), cx.tensor('i32', [1], [1]), this.depth);
    });
  }

  leave(b: number): void {
    this.#drafter.head.host.cx.scope(() => {
      this.#wanted.rows(b, b + 1).clear();
      this.candidates.count.rows(b, b + 1).clear();
    });
  }

  record({ taps, target, path, accepted, first }: VerifiedRound, depth: number): void {
    const { head } = this.#drafter;
    const { cx, dtype } = head.host;
    const { positions, slots, finished, pageTable } = this.#state;
    const entries = ops.draftExtend(cx, {
      target,
      path,
      accepted,
      first,
      positions,
      slots,
      finished,
      wanted: this.#wanted,
    });
    const { rows } = entries;
    const taken = taps.map((table) => ops.embedding(cx, { table, ids: entries.source, rows, dtype }));
    const out = head.layers(head.embed(entries.token, rows), head.fuse(taken, rows), {
      positions: entries.position,
      seq: entries.seq,
      slots: entries.slot,
      visible: entries.visible,
      pageTable,
      rows,
    });
    if (depth === 0) return;
    const last = ops.embedding(cx, { table: out, ids: entries.last, rows: entries.live, dtype });
    this.#expand(last, entries.lastSeq, entries.live, depth);
  }

  dispose(): void {
    for (const tensor of [...Object.values(this.candidates), this.#wanted]) tensor.dispose();
  }

  /** Grows trees from the outputs [N, hidden] of the last entries of some sequences. */
  #expand(out: FloatTensor, seq: Tensor<'i32'>, rows: Tensor<'i32'>, depth: number): void {
    const { head, branch, beta } = this.#drafter;
    const { cx, dtype } = head.host;
    const { temperature, seed, output, positions, slots, capacity, stop, pageTable } = this.#state;
    let level = { out, seq, rows };
    let nodes: { node?: Tensor<'i32'>; reached?: Tensor<'f32'>; ancestors?: Tensor<'i32'> } = {};
    for (let d = 1; d <= depth; d++) {
      const { logits, feature } = head.finish(level.out, level.rows);
      const best = ops.draftTopk(cx, {
        logits,
        seq: level.seq,
        temperature,
        seed,
        output,
        ids: head.ids,
        rows: level.rows,
        k: branch,
        depth: d - 1,
        beta,
      });
      const next = ops.draftExpand(cx, {
        token: best.token,
        value: best.value,
        seq: level.seq,
        ...nodes,
        rows: level.rows,
        positions,
        slots,
        capacity,
        stop,
        ...this.candidates,
        level: d,
      });
      if (d === depth) return;
      const state: DraftRows = {
        positions: next.nextPosition,
        seq: next.nextSeq,
        slots: next.nextSlot,
        visible: next.nextVisible,
        own: next.nextOwn,
        ancestors: next.nextAncestors,
        pageTable,
        rows: next.nextRows,
      };
      const from = ops.embedding(cx, { table: feature, ids: next.nextSource, rows: next.nextRows, dtype });
      const embedded = head.embed(next.nextToken, next.nextRows);
      level = { out: head.layers(embedded, from, state), seq: next.nextSeq, rows: next.nextRows };
      nodes = { node: next.nextNode, reached: next.nextReached, ancestors: next.nextAncestors };
    }
  }
}
