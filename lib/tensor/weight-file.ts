import type { NativeWeightFile } from '../native/addon.js';
import { addon } from './context.js';

/**
 * A file whose ranges stand for tensors, for {@link Context.fromFile}. It is read when an op first wants a tensor: a file that
 * shrank meanwhile is an `IO` failure of that op, where an access to memory over it would end the process.
 */
export class WeightFile {
  /** @internal */
  readonly native: NativeWeightFile;

  /** @throws HyperBagelError IO */
  constructor(path: string) {
    this.native = new (addon().NativeWeightFile)(path);
  }

  get bytes(): number {
    return this.native.bytes;
  }

  dispose(): void {
    this.native.dispose();
  }
}
