import { familyOf, floorOf, type ProfileEvent, type RooflineOf } from './events.js';
import { isRange, nameOf, type ProfileNode, rangeTree } from './ranges.js';
import { formatTable } from './table.js';

/** All calls of one op, or of one family of ops. Times in seconds, summed over calls. */
export interface ProfileRow {
  name: string;
  calls: number;
  seconds: number;
  /** Of the time of all ops, 0 to 1. */
  share: number;
  flops: number;
  bytes: number;
  /** Least time that the roofline allows over the time taken, 0 to 1; absent without a roofline. */
  ofRoofline?: number;
}

/**
 * All ranges of one name in those of another: `layer` stands for all layers. `seconds` are what they span, dispatch included; `share` is
 * of what the whole profile spans.
 */
export interface RangeRow extends ProfileRow {
  /** How many ranges it is in. */
  depth: number;
}

/** Where the executor's time went between the first event and the last, in seconds. `span` is the sum of the others. */
export interface Timeline {
  span: number;
  /** In kernels. */
  ops: number;
  /** In jobs of the queue, but not in a kernel: dispatch, copies between host and device. */
  jobs: number;
  /** Between jobs: the queue was empty, so the executor waited for JavaScript. */
  waiting: number;
}

export interface ProfileReport {
  /** By op, longest first. */
  rows: ProfileRow[];
  /** By family of ops, longest first. */
  families: ProfileRow[];
  /** By range, in order of time, inner ones behind the one that they are in. */
  ranges: RangeRow[];
  timeline: Timeline;
}

/**
 * Sums up the events of `Context.profileStop`.
 *
 * @param roofline flop/s and bytes/s of this machine; the floor of a call is the larger of flops / flop/s and bytes / bytes/s.
 */
export function summarize(events: readonly ProfileEvent[], roofline?: RooflineOf): ProfileReport {
  const timeline = timelineOf(events);
  return {
    rows: grouped(events, (op) => op, roofline),
    families: grouped(events, familyOf, roofline),
    ranges: rangeRows(rangeTree(events), roofline, timeline.span),
    timeline,
  };
}

/** A sum over calls. */
class Sum {
  calls = 0;
  seconds = 0;
  flops = 0;
  bytes = 0;
  floor = 0;
  readonly #roofline: RooflineOf | undefined;

  constructor(roofline: RooflineOf | undefined) {
    this.#roofline = roofline;
  }

  addCost(event: ProfileEvent): void {
    this.flops += event.flops;
    this.bytes += event.bytes;
    if (this.#roofline) this.floor += floorOf(event, this.#roofline);
  }

  addTime({ startNs, endNs }: { startNs: number; endNs: number }): void {
    this.calls++;
    this.seconds += (endNs - startNs) / 1e9;
  }

  row(name: string, total: number): ProfileRow {
    const { calls, seconds, flops, bytes, floor } = this;
    const row = { name, calls, seconds, share: ratio(seconds, total), flops, bytes };
    return this.#roofline ? { ...row, ofRoofline: ratio(floor, seconds) } : row;
  }
}

function grouped(
  events: readonly ProfileEvent[],
  groupOf: (op: string) => string,
  roofline: RooflineOf | undefined,
): ProfileRow[] {
  const sums = new Map<string, Sum>();
  let total = 0;
  for (const event of events) {
    if (event.op === '') continue;
    const name = groupOf(event.op);
    const sum = sums.get(name) ?? new Sum(roofline);
    sums.set(name, sum);
    sum.addCost(event);
    sum.addTime(event);
    total += (event.endNs - event.startNs) / 1e9;
  }
  return [...sums].map(([name, sum]) => sum.row(name, total)).sort((a, b) => b.seconds - a.seconds);
}

/** Ranges of one kind below those of another. */
interface Kind {
  sum: Sum;
  inner: Map<string, Kind>;
}

function rangeRows(top: readonly ProfileNode[], roofline: RooflineOf | undefined, span: number): RangeRow[] {
  const add = (nodes: readonly ProfileNode[], kinds: Map<string, Kind>, outer: readonly Sum[]) => {
    for (const node of nodes) {
      if (!isRange(node)) {
        for (const sum of outer) sum.addCost(node);
        continue;
      }
      const name = nameOf(node).replace(/ \d+$/, '');
      const kind = kinds.get(name) ?? { sum: new Sum(roofline), inner: new Map<string, Kind>() };
      kinds.set(name, kind);
      kind.sum.addTime(node);
      add(node.children, kind.inner, [...outer, kind.sum]);
    }
  };
  const list = (kinds: ReadonlyMap<string, Kind>, depth: number): RangeRow[] =>
    [...kinds].flatMap(([name, { sum, inner }]) => [{ ...sum.row(name, span), depth }, ...list(inner, depth + 1)]);
  const kinds = new Map<string, Kind>();
  add(top, kinds, []);
  return list(kinds, 0);
}

function timelineOf(events: readonly ProfileEvent[]): Timeline {
  let start = Number.POSITIVE_INFINITY;
  let end = Number.NEGATIVE_INFINITY;
  let ops = 0;
  let jobs = 0;
  for (const event of events) {
    start = Math.min(start, event.startNs);
    end = Math.max(end, event.endNs);
    const ns = event.endNs - event.startNs;
    if (event.op === '') jobs += ns;
    else ops += ns;
  }
  if (events.length === 0) return { span: 0, ops: 0, jobs: 0, waiting: 0 };
  return {
    span: (end - start) / 1e9,
    ops: ops / 1e9,
    // A profile that was stopped within a job has ops without their job.
    jobs: Math.max(0, jobs - ops) / 1e9,
    waiting: Math.max(0, end - start - Math.max(jobs, ops)) / 1e9,
  };
}

const ratio = (part: number, whole: number): number => (whole > 0 ? part / whole : 0);

/** The report as plain text: a table of ops, longest first, one of ranges where there are any, and the timeline. */
export function formatReport(report: ProfileReport): string {
  const { rows, ranges, timeline } = report;
  const tables = [rowTable('op', rows)];
  if (ranges.length > 0) {
    tables.push(
      rowTable(
        'range',
        ranges.map((row) => ({ ...row, name: `${'  '.repeat(row.depth)}${row.name}` })),
      ),
    );
  }
  return `${tables.join('\n')}\n${formatTimeline(timeline)}`;
}

function rowTable(what: string, rows: readonly ProfileRow[]): string {
  const withRoofline = rows.some((row) => row.ofRoofline !== undefined);
  const head = [what, 'calls', 'ms', 'share', 'MB', 'Mflop', 'GB/s', 'Gflop/s'];
  if (withRoofline) head.push('of roofline');
  const lines = rows.map((row) => {
    const cells = [
      row.name,
      String(row.calls),
      (row.seconds * 1e3).toFixed(2),
      percent(row.share),
      (row.bytes / 1e6).toFixed(1),
      (row.flops / 1e6).toFixed(1),
      ratio(row.bytes / 1e9, row.seconds).toFixed(1),
      ratio(row.flops / 1e9, row.seconds).toFixed(1),
    ];
    if (withRoofline) cells.push(row.ofRoofline === undefined ? '' : percent(row.ofRoofline));
    return cells;
  });
  return formatTable([head, ...lines]);
}

function formatTimeline({ span, ops, jobs, waiting }: Timeline): string {
  const part = (seconds: number) => `${(seconds * 1e3).toFixed(2)} ms (${percent(ratio(seconds, span))})`;
  return (
    `executor: ${(span * 1e3).toFixed(2)} ms from the first job to the last: in ops ${part(ops)}, ` +
    `dispatch and copies ${part(jobs)}, waiting for the host ${part(waiting)}\n`
  );
}

const percent = (share: number): string => `${(share * 100).toFixed(1)}%`;
