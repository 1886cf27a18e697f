import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { HyperBagelError } from '../errors.js';
import { ioError } from '../io/file-error.js';
import { FEATURES } from './features.js';
import { IMAGE_BYTES } from './world/index.js';

/** What is kept of a picture beside its record. */
export interface StoredPicture {
  /** RGB, row-major, of IMAGE_BYTES bytes. */
  readonly pixels: Uint8Array;
  /** Final latents, [tokens, channels]. */
  readonly latents: Float32Array;
  /** {@link FEATURES} features of the pixels. */
  readonly features: Float32Array;
}

/**
 * Pictures in slots of one size in one file, little-endian. A slot counts once its item's record is in the journal, so it is written
 * before; slots that were never written are holes.
 */
export class PictureStore {
  readonly #file: string;
  readonly #handle: FileHandle;
  readonly #latents: number;

  private constructor(file: string, handle: FileHandle, latents: number) {
    this.#file = file;
    this.#handle = handle;
    this.#latents = latents;
  }

  /** @param latents values in the latents of a picture @throws HyperBagelError IO */
  static async open(file: string, latents: number): Promise<PictureStore> {
    const handle = await open(file, constants.O_RDWR | constants.O_CREAT).catch((error: unknown) => {
      throw ioError('open', file, error);
    });
    return new PictureStore(file, handle, latents);
  }

  get #slotBytes(): number {
    return IMAGE_BYTES + 4 * (this.#latents + FEATURES);
  }

  /** @throws HyperBagelError IO, INTERNAL for a picture of another size */
  async write(slot: number, { pixels, latents, features }: StoredPicture): Promise<void> {
    if (pixels.length !== IMAGE_BYTES || latents.length !== this.#latents || features.length !== FEATURES) {
      throw new HyperBagelError('INTERNAL', `a picture of ${pixels.length}, ${latents.length}, ${features.length}`);
    }
    const bytes = new Uint8Array(this.#slotBytes);
    bytes.set(pixels);
    new Float32Array(bytes.buffer, IMAGE_BYTES).set([...latents, ...features]);
    try {
      await this.#handle.write(bytes, 0, bytes.length, slot * bytes.length);
    } catch (error) {
      throw ioError('write', this.#file, error);
    }
  }

  /** @throws HyperBagelError IO, also when the file ends before the slot does */
  async read(slot: number): Promise<StoredPicture> {
    const bytes = new Uint8Array(this.#slotBytes);
    let done = 0;
    while (done < bytes.length) {
      const at = slot * bytes.length + done;
      const { bytesRead } = await this.#handle.read(bytes, done, bytes.length - done, at).catch((error: unknown) => {
        throw ioError('read', this.#file, error);
      });
      if (bytesRead === 0) throw ioError('read', this.#file, new Error(`it ends before slot ${slot}`));
      done += bytesRead;
    }
    const floats = new Float32Array(bytes.buffer, IMAGE_BYTES);
    return {
      pixels: bytes.subarray(0, IMAGE_BYTES),
      latents: floats.subarray(0, this.#latents),
      features: floats.subarray(this.#latents),
    };
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}
