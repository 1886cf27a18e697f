import { HyperBagelError } from '../errors.js';
import type { NativeTensor } from '../native/addon.js';
import type { Context } from './context.js';
import { BYTES, type DataOf, DTYPES, type DType, fromBf16, fromNumbers, isDataOf, viewAs } from './dtype.js';

/**
 * A typed tensor in a context's memory. It is a handle: the bytes live as long as a handle, a queued op or a program needs
 * them. `dispose()` (or `using`) lets go at once; without it the garbage collector does, later.
 */
export class Tensor<D extends DType = DType> {
  readonly dtype: D;
  readonly shape: readonly number[];
  /** A linear weight in the backend's packed layout: only `linear` and `conv2d` read it. */
  readonly packed: boolean;
  readonly context: Context;
  /** @internal */
  readonly native: NativeTensor;

  /** @internal Tensors come from a context or an op. */
  constructor(context: Context, native: NativeTensor) {
    this.context = context;
    this.native = native;
    this.dtype = DTYPES[native.dtype] as D;
    this.shape = native.shape;
    this.packed = native.packed;
  }

  get elements(): number {
    return this.shape.reduce((product, size) => product * size, 1);
  }

  get bytes(): number {
    return this.native.bytes;
  }

  get disposed(): boolean {
    return this.native.disposed;
  }

  /**
   * The elements, once everything queued before has run.
   *
   * @throws HyperBagelError the failure of the op that should have written them; DISPOSED.
   */
  async data(): Promise<DataOf<D>> {
    const { ticket, data } = this.context.native.read(this.native);
    await this.context.until(ticket);
    return viewAs(this.dtype, data());
  }

  /** The elements as f32: bf16 is widened. */
  async floats(): Promise<Float32Array> {
    const data: unknown = await this.data();
    if (data instanceof Float32Array) return data;
    if (data instanceof Uint16Array) return fromBf16(data);
    throw new HyperBagelError('BAD_DTYPE', `floats() wants an f32 or bf16 tensor, got ${this.dtype}`);
  }

  /**
   * Overwrites all elements, in queue order; the data is copied at the call.
   *
   * @param data the dtype's typed array, or numbers to convert.
   * @throws HyperBagelError BAD_SHAPE, BAD_DTYPE
   */
  write(data: DataOf<D> | readonly number[]): this {
    const array = isDataOf(this.dtype, data) ? data : Array.isArray(data) ? fromNumbers(this.dtype, data) : undefined;
    if (array === undefined) {
      throw new HyperBagelError('BAD_DTYPE', `data of a ${this.dtype} tensor has the wrong kind of array`, {
        operand: 'data',
        expected: `the typed array of ${this.dtype}, or numbers`,
      });
    }
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    this.context.native.write(this.native, bytes, this.context.activity);
    return this;
  }

  /** Fills with zeros, in queue order. */
  clear(): this {
    this.context.native.write(this.native, null, this.context.activity);
    return this;
  }

  /** The same elements in another shape; shares memory. */
  reshape(shape: readonly number[]): Tensor<D> {
    const elements = shape.reduce((product, size) => product * size, 1);
    if (elements !== this.elements) {
      throw new HyperBagelError('BAD_SHAPE', `cannot reshape [${this.shape}] to [${shape}]`, {
        expected: `${this.elements} elements`,
        got: `${elements}`,
      });
    }
    return this.context.adopt(new Tensor<D>(this.context, this.native.view(shape, 0)));
  }

  /** Rows `start` to `end - 1` of the first dim; shares memory. */
  rows(start: number, end: number): Tensor<D> {
    const [first = 0, ...rest] = this.shape;
    if (!(Number.isInteger(start) && Number.isInteger(end) && 0 <= start && start <= end && end <= first)) {
      throw new HyperBagelError('BAD_SHAPE', `rows ${start} to ${end} of a tensor [${this.shape}]`, {
        expected: `a range within [0, ${first}]`,
        got: `[${start}, ${end}]`,
      });
    }
    const offset = start * rest.reduce((product, size) => product * size, 1) * BYTES[this.dtype];
    return this.context.adopt(new Tensor<D>(this.context, this.native.view([end - start, ...rest], offset)));
  }

  /** Lets go of the memory. Queued work that uses it still runs. Idempotent. */
  dispose(): void {
    this.native.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
