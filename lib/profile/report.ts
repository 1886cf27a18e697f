import { familyOf, type ProfileEvent, type RooflineOf } from './events.js';
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
  timeline: Timeline;
}

/**
 * Sums up the events of `Context.profileStop`.
 *
 * @param roofline flop/s and bytes/s of this machine; the floor of a call is the larger of flops / flop/s and bytes / bytes/s.
 */
export function summarize(events: readonly ProfileEvent[], roofline?: RooflineOf): ProfileReport {
  const ops = events.filter((event) => event.op !== '');
  return {
    rows: grouped(ops, (op) => op, roofline),
    families: grouped(ops, familyOf, roofline),
    timeline: timelineOf(events),
  };
}

function grouped(
  events: readonly ProfileEvent[],
  nameOf: (op: string) => string,
  roofline: RooflineOf | undefined,
): ProfileRow[] {
  const rows = new Map<string, ProfileRow & { floor: number }>();
  let total = 0;
  for (const event of events) {
    const name = nameOf(event.op);
    let row = rows.get(name);
    if (row === undefined) {
      row = { name, calls: 0, seconds: 0, share: 0, flops: 0, bytes: 0, floor: 0 };
      rows.set(name, row);
    }
    const seconds = (event.endNs - event.startNs) / 1e9;
    row.calls++;
    row.seconds += seconds;
    row.flops += event.flops;
    row.bytes += event.bytes;
    if (roofline) {
      const most = typeof roofline === 'function' ? roofline(event) : roofline;
      row.floor += Math.max(event.flops / most.flops, event.bytes / most.bytesPerSecond);
    }
    total += seconds;
  }
  return [...rows.values()]
    .sort((a, b) => b.seconds - a.seconds)
    .map(({ floor, ...row }) => ({
      ...row,
      share: ratio(row.seconds, total),
      ...(roofline ? { ofRoofline: ratio(floor, row.seconds) } : {}),
    }));
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

/** The report as a plain-text table, one op a line, and the timeline below it. */
export function formatReport(report: ProfileReport): string {
  const withRoofline = report.rows.some((row) => row.ofRoofline !== undefined);
  const head = ['op', 'calls', 'ms', 'share', 'MB', 'Mflop', 'GB/s', 'Gflop/s'];
  if (withRoofline) head.push('of roofline');
  const lines = report.rows.map((row) => {
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
  return `${formatTable([head, ...lines])}\n${formatTimeline(report.timeline)}`;
}

function formatTimeline({ span, ops, jobs, waiting }: Timeline): string {
  const part = (seconds: number) => `${(seconds * 1e3).toFixed(2)} ms (${percent(ratio(seconds, span))})`;
  return (
    `executor: ${(span * 1e3).toFixed(2)} ms from the first job to the last: in ops ${part(ops)}, ` +
    `dispatch and copies ${part(jobs)}, waiting for the host ${part(waiting)}\n`
  );
}

const percent = (share: number): string => `${(share * 100).toFixed(1)}%`;
