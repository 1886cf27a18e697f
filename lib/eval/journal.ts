import { type FileHandle, open } from 'node:fs/promises';
import path from 'node:path';
import { HyperBagelError } from '../errors.js';
import { ioError } from '../io/file-error.js';
import { fieldsOf } from './suite.js';

/** What the records of a file depend on, by name. Equal settings mean that the work can go on. */
export type Settings = Readonly<Record<string, string | number | boolean>>;

/** Changes when records written before would no longer be the same. */
const FORMAT = 1;
/** A longer file is none of ours. */
const MAX_BYTES = 2 ** 30;

/**
 * Finished items in a file, one JSON object a line, settings first. Each line is written whole as its item is done, so a process may
 * end at any moment: what was cut off at the end of the file is dropped at the next opening.
 */
export class Journal<R> {
  readonly records: R[];
  readonly #file: string;
  readonly #handle: FileHandle;

  private constructor(file: string, handle: FileHandle, records: R[]) {
    this.#file = file;
    this.#handle = handle;
    this.records = records;
  }

  /**
   * Opens the file, or makes it.
   *
   * @param read a record from the parsed JSON of its line; undefined when it is none
   * @param restart drops what is there
   * @throws HyperBagelError BAD_OPTION when the file was made with other settings, IO when it is damaged or cannot be used
   */
  static async open<R>(
    file: string,
    settings: Settings,
    read: (value: unknown) => R | undefined,
    restart = false,
  ): Promise<Journal<R>> {
    const handle = await open(file, restart ? 'w+' : 'a+').catch((error: unknown) => {
      throw ioError('open', file, error);
    });
    try {
      const { text, bytes } = await wholeLines(handle, file);
      if (text === '') {
        await handle.truncate(0);
        await handle.appendFile(`${JSON.stringify({ format: FORMAT, ...settings })}\n`);
        return new Journal(file, handle, []);
      }
      const [head = '', ...lines] = text.trimEnd().split('\n');
      checkSettings(file, parse(head), { format: FORMAT, ...settings });
      const records = lines.map((line, i) => {
        const record = read(parse(line));
        if (record === undefined) throw damaged(file, `line ${i + 2} is no record`);
        return record;
      });
      await handle.truncate(bytes);
      return new Journal(file, handle, records);
    } catch (error) {
      await handle.close();
      throw HyperBagelError.isInstance(error) ? error : ioError('read', file, error);
    }
  }

  /** Adds finished items; returns when the operating system has them. @throws HyperBagelError IO */
  async append(records: readonly R[]): Promise<void> {
    try {
      await this.#handle.appendFile(records.map((record) => `${JSON.stringify(record)}\n`).join(''));
    } catch (error) {
      throw ioError('write', this.#file, error);
    }
    this.records.push(...records);
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

/** The text up to the last line end, and its length in bytes. */
async function wholeLines(handle: FileHandle, file: string): Promise<{ text: string; bytes: number }> {
  const { size } = await handle.stat();
  if (size > MAX_BYTES) throw damaged(file, `${size} bytes long`);
  const content = Buffer.alloc(size);
  for (let done = 0; done < size; ) {
    const { bytesRead } = await handle.read(content, done, size - done, done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  const bytes = content.lastIndexOf(0x0a) + 1;
  return { text: content.toString('utf8', 0, bytes), bytes };
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function checkSettings(file: string, found: unknown, wanted: Settings): void {
  const fields = fieldsOf(found);
  if (!('format' in fields)) throw damaged(file, 'its first line holds no settings');
  for (const name of new Set([...Object.keys(wanted), ...Object.keys(fields)])) {
    if (fields[name] === wanted[name]) continue;
    const [expected, got] = [String(wanted[name]), String(fields[name])];
    throw new HyperBagelError(
      'BAD_OPTION',
      `${path.dirname(file)} holds results made with ${name} ${got}, not ${expected}: choose another folder, or start anew`,
      { operand: name, expected, got },
    );
  }
}

function damaged(file: string, problem: string): HyperBagelError {
  return new HyperBagelError('IO', `${file} is no file of finished evaluation items: ${problem}`, {
    operand: file,
    got: problem,
  });
}
