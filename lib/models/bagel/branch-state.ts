import { PAGE_SLOTS, pagesFor, type Sequence } from '../../cache/pages.js';
import type { Branch } from '../../denoise/guidance.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { BagelModel } from './model.js';
import type { RowState } from './mot-layer.js';

/** Contexts that a picture is denoised in. One that no step needs may be left out; `noImage` may be the full one. */
export type Branches = { [B in Branch]?: Sequence | undefined } & { full: Sequence };

/** Frame tokens around a picture's latents. */
const FRAME = 2;

/** Scratch pages behind one context of a picture with this many latents. */
export const scratchPagesFor = (latents: number): number => pagesFor(latents + FRAME);

/**
 * Row state of some branches of a batch of pictures. A segment is one picture in one branch: J pictures in B branches are B x J
 * segments, branch by branch. Rows: 2 frame rows per segment, then the latent rows of every segment.
 */
export class BranchState implements RowState {
  readonly positions: Tensor<'i32'>;
  readonly seq: Tensor<'i32'>;
  readonly slots: Tensor<'i32'>;
  readonly visible: Tensor<'i32'>;
  readonly own: Tensor<'i32'>;
  readonly pageTable: Tensor<'i32'>;
  readonly split: Tensor<'i32'>;
  /** Ids of the frame rows. */
  readonly markers: Tensor<'i32'>;
  /** Latent of the batch that each latent row stands for. */
  readonly copies: Tensor<'i32'>;
  /** Latents per segment. */
  readonly #sizes: readonly number[];

  constructor(
    private readonly model: BagelModel,
    /** Branches, in order. */
    readonly names: readonly Branch[],
    /** Latents per picture. */
    private readonly latents: readonly number[],
  ) {
    const { cx, special } = model;
    this.#sizes = names.flatMap(() => latents);
    const segments = this.#sizes.length;
    const total = latents.reduce((sum, n) => sum + n, 0);
    const rows = FRAME * segments + names.length * total;
    const ints = (values: ArrayLike<number>) => cx.tensor('i32', [values.length], Int32Array.from(values));
    this.positions = cx.zeros('i32', [rows]);
    this.seq = ints(this.#perRow((segment) => segment));
    this.slots = cx.zeros('i32', [rows]);
    this.visible = cx.zeros('i32', [rows]);
    this.own = cx.zeros('i32', [rows, 2]);
    this.pageTable = cx.zeros('i32', [segments, model.tablePages]);
    this.split = ints([FRAME * segments]);
    this.markers = ints(this.#sizes.flatMap(() => [special.visionStart, special.visionEnd]));
    this.copies = ints(Array.from({ length: names.length * total }, (_, i) => i % total));
  }

  /** Rows of the understanding expert: those before the latents. */
  get frameRows(): number {
    return FRAME * this.#sizes.length;
  }

  /** A value per row, from its segment and its place in it (0 start, 1 .. n latents, n + 1 end). */
  #perRow(value: (segment: number, place: number) => number): Int32Array {
    const rows: number[] = [];
    this.#sizes.forEach((n, s) => {
      rows.push(value(s, 0), value(s, n + 1));
    });
    this.#sizes.forEach((n, s) => {
      for (let place = 1; place <= n; place++) rows.push(value(s, place));
    });
    return Int32Array.from(rows);
  }

  /**
   * Points the rows to contexts. The noisy rows' own keys and values go to scratch pages behind each.
   *
   * @param pictures contexts of each picture
   * @param scratch pages per picture: for each branch of a step in order `scratchPagesFor` its latents
   * @param first place of this state's first branch among those of the step
   */
  write(pictures: readonly Branches[], scratch: readonly (readonly number[])[], first: number): void {
    const segments = this.names.flatMap((name, b) =>
      pictures.map((branches, j) => {
        const sequence = branches[name] ?? branches.full;
        const own = scratchPagesFor(this.latents[j] as number);
        const used = pagesFor(sequence.length);
        const behind = (scratch[j] as readonly number[]).slice((first + b) * own, (first + b + 1) * own);
        return {
          sequence,
          start: used * PAGE_SLOTS,
          pages: [...sequence.pages.slice(0, used), ...behind],
        };
      }),
    );
    const of = (s: number) => segments[s] as (typeof segments)[number];
    this.positions.write(this.#perRow((s) => of(s).sequence.position));
    this.slots.write(this.#perRow((s, place) => of(s).start + place));
    this.visible.write(this.#perRow((s) => of(s).sequence.length));
    const own: number[] = [];
    this.#perRow((s) => own.push(of(s).start, of(s).start + (this.#sizes[s] as number) + FRAME));
    this.own.write(Int32Array.from(own));
    const table = new Int32Array(segments.length * this.model.tablePages);
    segments.forEach(({ pages }, s) => {
      table.set(pages, s * this.model.tablePages);
    });
    this.pageTable.write(table);
  }

  dispose(): void {
    const { positions, seq, slots, visible, own, pageTable, split, markers, copies } = this;
    for (const t of [positions, seq, slots, visible, own, pageTable, split, markers, copies]) t.dispose();
  }
}
