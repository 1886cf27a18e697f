import { wanted } from './log.js';

/** Where a bar is drawn: stderr, or something like it in tests. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const SHOW_AFTER_MS = 1000;
const REDRAW_MS = 120;
const CLEAR_LINE = '\r\x1b[K';

/**
 * Progress of one piece of work on stderr. What takes less than a second shows nothing. On a terminal longer work gets a bar,
 * or its running time while the total is unknown; everywhere it leaves one plain line when it is done.
 */
export class Progress {
  readonly #label: string;
  readonly #stream: ProgressStream;
  readonly #start = performance.now();
  readonly #timer: NodeJS.Timeout | undefined;
  #done = 0;
  #total = 0;
  #shown = false;
  #ended = false;

  /** @param label what is being done, as in "loading" */
  constructor(label: string, stream: ProgressStream = process.stderr) {
    this.#label = label;
    this.#stream = stream;
    if (stream.isTTY && wanted('info')) this.#timer = setInterval(() => this.#draw(), REDRAW_MS).unref();
  }

  /** Sets how much of the work is done, in any unit. */
  update(done: number, total: number): void {
    this.#done = done;
    this.#total = total;
  }

  /** The work is done: replaces the bar by a plain line, when it took over a second. */
  finish(): void {
    const elapsed = performance.now() - this.#start;
    if (!this.#end() || elapsed < SHOW_AFTER_MS || !wanted('info')) return;
    this.#stream.write(`${this.#label}: ${(elapsed / 1e3).toFixed(1)} s\n`);
  }

  /** Takes the bar away and says nothing. Harmless after {@link finish}. */
  stop(): void {
    this.#end();
  }

  #end(): boolean {
    if (this.#ended) return false;
    this.#ended = true;
    clearInterval(this.#timer);
    if (this.#shown) this.#stream.write(CLEAR_LINE);
    return true;
  }

  #draw(): void {
    const elapsed = performance.now() - this.#start;
    if (elapsed < SHOW_AFTER_MS) return;
    this.#shown = true;
    this.#stream.write(`${CLEAR_LINE}${this.#line(elapsed)}`);
  }

  #line(elapsed: number): string {
    const seconds = `${(elapsed / 1e3).toFixed(0)} s`;
    if (this.#total <= 0) return `${this.#label} ... ${seconds}`;
    const share = Math.min(1, this.#done / this.#total);
    const left = share > 0 ? `, ${((elapsed / share - elapsed) / 1e3).toFixed(0)} s left` : '';
    const note = ` ${Math.floor(share * 100)}% ${seconds}${left}`;
    // some terminals say that they have no columns
    const width = Math.min(40, (this.#stream.columns || 80) - this.#label.length - note.length - 4);
    if (width < 5) return `${this.#label}${note}`;
    const filled = Math.round(share * width);
    return `${this.#label} [${'#'.repeat(filled)}${'.'.repeat(width - filled)}]${note}`;
  }
}
