// The bench's side of a child process.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Answer, Prepared, Question, RatesNow, Row } from './messages.js';

/** The processors that this process may use, by number. Empty where the system does not say. */
export function allowedProcessors(): number[] {
  let status: string;
  try {
    status = readFileSync('/proc/self/status', 'utf8');
  } catch {
    return [];
  }
  return processorList(/^Cpus_allowed_list:\s*(\S+)/m.exec(status)?.[1] ?? '');
}

/** The numbers of a list such as `0-2,5`. */
export function processorList(text: string): number[] {
  return text
    .split(',')
    .filter((part) => part !== '')
    .flatMap((part) => {
      const [first = 0, last = first] = part.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    });
}

export const canPin = (): boolean =>
  allowedProcessors().length > 0 && spawnSync('taskset', ['-V'], { stdio: 'ignore' }).status === 0;

export interface WorkerOptions {
  engine: 'ours' | 'onnxruntime';
  threads: number;
  isa?: string | undefined;
  /** Root of the checkout whose bench answers; default: this one. */
  root?: string;
}

/** The bundle of the child; the bench's own bundles lie beside it. */
export const workerFile = (root = path.resolve(import.meta.dirname, '..', '..')): string =>
  path.join(root, '.cache', 'bench', 'worker.js');

/** A child process that answers one question at a time. */
export class Worker {
  readonly #child: ChildProcess;
  /** Rejects what is asked when the child ends. */
  #failed: Error | undefined;
  #waiting: { resolve(value: unknown): void; reject(error: Error): void } | undefined;

  constructor({ engine, threads, isa, root }: WorkerOptions) {
    const script = [workerFile(root), engine, String(threads), ...(isa ? [isa] : [])];
    const processors = allowedProcessors().slice(0, threads);
    const [command, args] = canPin()
      ? ['taskset', ['-c', processors.join(','), process.execPath, ...script]]
      : [process.execPath, script];
    this.#child = spawn(command, args as string[], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      serialization: 'advanced',
      ...(root ? { cwd: root } : {}),
    });
    const fail = (error: Error) => {
      this.#failed ??= error;
      this.#waiting?.reject(error);
      this.#waiting = undefined;
    };
    this.#child.on('error', fail);
    this.#child.on('exit', (code, signal) => fail(new Error(`the ${engine} process ended: ${signal ?? code}`)));
    this.#child.on('message', (answer: Answer) => {
      const waiting = this.#waiting;
      this.#waiting = undefined;
      if (answer.ok) waiting?.resolve(answer.value);
      else waiting?.reject(new Error(`${engine}: ${answer.error}`));
    });
  }

  #ask<T>(question: Question): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#failed) return reject(this.#failed);
      if (this.#waiting) return reject(new Error('the process is busy'));
      this.#waiting = { resolve: (value) => resolve(value as T), reject };
      this.#child.send(question);
    });
  }

  describe = (): Promise<string> => this.#ask({ ask: 'describe' });
  isa = (): Promise<string> => this.#ask({ ask: 'isa' });
  prepare = (slot: string, row: Row): Promise<Prepared> => this.#ask({ ask: 'prepare', slot, row });
  output = (slot: string, rows: number[]): Promise<Float64Array[]> => this.#ask({ ask: 'output', slot, rows });
  sample = (slot: string, seconds: number): Promise<number> => this.#ask({ ask: 'sample', slot, seconds });
  drop = (slot: string): Promise<void> => this.#ask({ ask: 'drop', slot });
  rates = (): Promise<RatesNow> => this.#ask({ ask: 'rates' });

  /** Ends the process and waits until it is gone. */
  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    if (this.#child.connected) this.#child.disconnect();
    await gone;
  }
}
