import type { ProfileEvent } from './events.js';

const PROCESS = 1;
/** Tracks of the trace: a job spans the ops on the track below it. */
const TRACKS = { jobs: 1, ops: 2 } as const;

/**
 * A profile in the Chrome trace event format (chrome://tracing, Perfetto), as pieces to write in order. One process with two
 * tracks; times in microseconds from the first event.
 *
 * @param about what was run; shown as metadata of the trace.
 */
export function* traceChunks(
  events: readonly ProfileEvent[],
  about: Readonly<Record<string, string | number>> = {},
): Iterable<Uint8Array> {
  let first = Number.POSITIVE_INFINITY;
  for (const event of events) first = Math.min(first, event.startNs);
  const names = [
    metadata('process_name', 0, 'hyper-bagel'),
    metadata('thread_name', TRACKS.jobs, 'executor jobs'),
    metadata('thread_name', TRACKS.ops, 'ops'),
  ];
  yield Buffer.from(
    `{"displayTimeUnit":"ms","otherData":${JSON.stringify(about)},"traceEvents":[\n${names.join(',\n')}`,
  );
  // A long run has millions of events: more than one string holds, so it is made in parts.
  const part = 4096;
  for (let from = 0; from < events.length; from += part) {
    const lines = events.slice(from, from + part).map((event) => `,\n${traceEvent(event, first)}`);
    yield Buffer.from(lines.join(''));
  }
  yield Buffer.from('\n]}\n');
}

function metadata(name: string, track: number, value: string): string {
  return JSON.stringify({ name, ph: 'M', pid: PROCESS, tid: track, args: { name: value } });
}

function traceEvent(event: ProfileEvent, first: number): string {
  const isJob = event.op === '';
  const { shape, flops, bytes, threads } = event;
  return JSON.stringify({
    name: isJob ? 'job' : event.op,
    cat: isJob ? 'queue' : 'op',
    ph: 'X',
    pid: PROCESS,
    tid: isJob ? TRACKS.jobs : TRACKS.ops,
    ts: (event.startNs - first) / 1e3,
    dur: (event.endNs - event.startNs) / 1e3,
    ...(isJob ? {} : { args: { shape, flops, bytes, threads } }),
  });
}
