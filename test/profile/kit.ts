// Makes events, and reads traces as a viewer does.
import type { ProfileEvent, ProfileRange } from '../../lib/profile/events.js';
import type { ProfileNode } from '../../lib/profile/ranges.js';
import { traceChunks } from '../../lib/profile/trace.js';

/** An event by hand: op '' is a job. */
export const event = (op: string, startNs: number, endNs: number, more: Partial<ProfileEvent> = {}): ProfileEvent => ({
  op,
  startNs,
  endNs,
  flops: 0,
  bytes: 0,
  threads: op === '' ? 0 : 1,
  shape: op === '' ? '' : 'x f32 [1, 4]',
  range: null,
  activity: null,
  ...more,
});

export const range = (name: string, outer: ProfileRange | null = null): ProfileRange => ({ name, outer });

/** One slice of a trace, with the names of the slices that it lies in, outermost first, and its own. */
export interface Slice {
  path: string[];
  name: string;
  cat: string;
  tid: number;
  ts: number;
  dur: number;
  args?: { shape: string; flops: number; bytes: number; threads: number };
  /** Numbers of the slices that it lies in, outermost first. */
  within: number[];
}

export interface Trace {
  about: Record<string, unknown>;
  tracks: string[];
  slices: Slice[];
}

/** Microseconds are doubles here: what differs by less than a tenth of a nanosecond is the same. */
const SAME = 1e-4;

function fail(what: string, at: unknown): never {
  throw new Error(`${what}: ${JSON.stringify(at)}`);
}

/**
 * Reads a trace in the Chrome trace event format, JSON object form, and checks it: only metadata and complete events, each with what the
 * format asks for; within a track slices nest, none overlaps another in part.
 *
 * @throws Error that names the event
 */
export function readTrace(text: string): Trace {
  const { traceEvents, displayTimeUnit, otherData } = JSON.parse(text) as {
    traceEvents: (Slice & { ph: string; pid: number; args?: Record<string, unknown> })[];
    displayTimeUnit: string;
    otherData: Record<string, unknown>;
  };
  if (displayTimeUnit !== 'ms') fail('no such unit', displayTimeUnit);
  const tracks: string[] = [];
  const slices: Slice[] = [];
  const open = new Map<number, number[]>();
  for (const e of traceEvents) {
    if (typeof e.name !== 'string' || e.name === '') fail('no name', e);
    if (!Number.isInteger(e.pid) || !Number.isInteger(e.tid)) fail('no process or track', e);
    if (e.ph === 'M') {
      if (e.name === 'thread_name') tracks[e.tid - 1] = String(e.args?.name);
      continue;
    }
    if (e.ph !== 'X') fail('neither metadata nor a complete event', e);
    if (!(e.ts >= 0 && e.dur >= 0 && Number.isFinite(e.ts + e.dur))) fail('no time', e);
    const stack = open.get(e.tid) ?? [];
    open.set(e.tid, stack);
    for (let last = slices[stack.at(-1) ?? -1]; last; last = slices[stack.at(-1) ?? -1]) {
      if (e.ts < last.ts - SAME) fail('before the one that it follows', [last, e]);
      if (e.ts + e.dur <= last.ts + last.dur + SAME) break; // within it
      if (e.ts < last.ts + last.dur - SAME) fail('overlaps', [last, e]);
      stack.pop();
    }
    const path = [...stack.map((i) => (slices[i] as Slice).name), e.name];
    slices.push({ ...e, path, within: [...stack] });
    stack.push(slices.length - 1);
  }
  return { about: otherData, tracks, slices };
}

export function traceOf(top: readonly ProfileNode[], about: Record<string, string | number> = {}): Trace {
  return readTrace(Buffer.concat([...traceChunks(top, about)]).toString());
}
