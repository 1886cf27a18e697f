import type { ProfileEvent } from './events.js';
import { isRange, lanesOf, nameOf, type ProfileNode } from './ranges.js';

const PROCESS = 1;

/**
 * A profile in the Chrome trace event format (chrome://tracing, ui.perfetto.dev), as pieces to write in order. One process with one
 * track, on which ranges and ops nest; where activities took turns, the others are on tracks of their own. Times are in microseconds
 * from the first event.
 *
 * @param top see `rangeTree`
 * @param about what was run; shown as metadata of the trace.
 */
export function* traceChunks(
  top: readonly ProfileNode[],
  about: Readonly<Record<string, string | number>> = {},
): Iterable<Uint8Array> {
  const lanes = lanesOf(top);
  const first = Math.min(...lanes.map(([node]) => (node as ProfileNode).startNs));
  const names = [
    metadata('process_name', 0, 'hyper-bagel'),
    ...lanes.map((_, i) => metadata('thread_name', i + 1, i === 0 ? 'executor' : `executor, taking turns (${i + 1})`)),
  ];
  yield Buffer.from(
    `{"displayTimeUnit":"ms","otherData":${JSON.stringify(about)},"traceEvents":[\n${names.join(',\n')}`,
  );
  // A long run has millions of events: more than one string holds, so it is made in parts.
  const part = 4096;
  let lines: string[] = [];
  for (const [i, lane] of lanes.entries()) {
    for (const node of inOrder(lane)) {
      lines.push(`,\n${traceEvent(node, first, i + 1)}`);
      if (lines.length < part) continue;
      yield Buffer.from(lines.join(''));
      lines = [];
    }
  }
  yield Buffer.from(`${lines.join('')}\n]}\n`);
}

/** Each node before those in it. */
function* inOrder(nodes: readonly ProfileNode[]): Iterable<ProfileNode> {
  for (const node of nodes) {
    yield node;
    if (isRange(node)) yield* inOrder(node.children);
  }
}

function metadata(name: string, track: number, value: string): string {
  return JSON.stringify({ name, ph: 'M', pid: PROCESS, tid: track, args: { name: value } });
}

function traceEvent(node: ProfileNode, first: number, track: number): string {
  return JSON.stringify({
    name: nameOf(node),
    cat: isRange(node) ? 'range' : node.op === '' ? 'copy' : 'op',
    ph: 'X',
    pid: PROCESS,
    tid: track,
    ts: (node.startNs - first) / 1e3,
    dur: (node.endNs - node.startNs) / 1e3,
    ...(isRange(node) || node.op === '' ? {} : { args: argumentsOf(node) }),
  });
}

const argumentsOf = ({ shape, flops, bytes, threads }: ProfileEvent) => ({ shape, flops, bytes, threads });
