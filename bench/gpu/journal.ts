// What has been done: one file of JSON lines per step, written before a piece and after it, so that a process that dies, hangs or
// is stopped leaves what it knew.
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { PieceResult } from './plan.js';

export type Line =
  | { begin: string; limit: number; at: number }
  | { end: string; seconds: number; result: PieceResult }
  /** The time of the call ran out during the piece. */
  | { cut: string };

/** A piece that was cut this often takes too long for any call. */
const MOST_CUTS = 2;

export class Journal {
  readonly file: string;

  constructor(folder: string, step: string) {
    this.file = path.join(folder, `${step}.jsonl`);
  }

  /** A last line that was cut off while it was written does not count. */
  lines(): Line[] {
    if (!existsSync(this.file)) return [];
    return readFileSync(this.file, 'utf8')
      .split('\n')
      .filter((text) => text.endsWith('}'))
      .map((text) => JSON.parse(text) as Line);
  }

  add(line: Line): void {
    const torn = existsSync(this.file) && !/(^|\n)$/.test(readFileSync(this.file, 'utf8'));
    appendFileSync(this.file, `${torn ? '\n' : ''}${JSON.stringify(line)}\n`);
  }

  /** Pieces that are done, in the order in which they were. */
  done(): Map<string, { seconds: number; result: PieceResult }> {
    return new Map(
      this.lines().flatMap((line) =>
        'end' in line ? [[line.end, { seconds: line.seconds, result: line.result }]] : [],
      ),
    );
  }

  /** The piece that was begun and neither ended nor cut. */
  open(): { piece: string; limit: number; at: number } | null {
    const last = this.lines().at(-1);
    return last && 'begin' in last ? { piece: last.begin, limit: last.limit, at: last.at } : null;
  }

  /** Closes the piece that is open, if one is, as failed. */
  fail(reason: string): void {
    const open = this.open();
    if (!open) return;
    const seconds = (Date.now() - open.at) / 1e3;
    this.add({ end: open.piece, seconds, result: { failures: [reason] } });
  }

  /** Leaves the open piece for the next call, unless it was left before. */
  cut(): void {
    const open = this.open();
    if (!open) return;
    const cuts = this.lines().filter((line) => 'cut' in line && line.cut === open.piece).length;
    if (cuts + 1 < MOST_CUTS) this.add({ cut: open.piece });
    else this.fail(`the time of ${MOST_CUTS} calls ran out during it`);
  }
}
