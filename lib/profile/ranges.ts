import type { ProfileEvent, ProfileRange } from './events.js';

/** A stretch of the executor's time with a name, and what it did in it, in order of time. */
export interface RangeNode {
  name: string;
  startNs: number;
  endNs: number;
  children: (RangeNode | ProfileEvent)[];
}

export type ProfileNode = RangeNode | ProfileEvent;

export const isRange = (node: ProfileNode): node is RangeNode => 'children' in node;

/** What a node is called: an event by its op, a job without ops, such as a copy between host and tensors, as `copy`. */
export const nameOf = (node: ProfileNode): string => (isRange(node) ? node.name : node.op || 'copy');

/**
 * Puts events into the ranges that they were asked for in: activity > ranges of the host > program > ranges in the program > op.
 * A program's range is as long as its job, any other as what it holds. Each run of a program has ranges of its own.
 *
 * @param events as `Context.profileStop` returns them: a job after its ops
 * @returns the outermost, in order of time. They overlap where activities take turns on one context; within one nothing does.
 */
export function rangeTree(events: readonly ProfileEvent[]): ProfileNode[] {
  const top: ProfileNode[] = [];
  const hosts = new Map<ProfileRange, RangeNode>();
  let ops: ProfileEvent[] = [];
  for (const event of events) {
    if (event.op !== '') {
      ops.push(event);
      continue;
    }
    const outer = [...(event.activity ? [event.activity] : []), ...chain(event.range)];
    const siblings = descend(top, outer, hosts);
    if (ops.length === 0) siblings.push(event);
    else place(ops, siblings, event);
    ops = [];
  }
  // of a job that had not ended when the profile did
  place(ops, top);
  for (const node of top) if (isRange(node)) span(node);
  return top;
}

/** Ranges from the outermost one in. */
function chain(range: ProfileRange | null): ProfileRange[] {
  const list: ProfileRange[] = [];
  for (let at = range; at; at = at.outer) list.push(at);
  return list.reverse();
}

/** The members of the innermost of these ranges; makes those that are new. */
function descend(top: ProfileNode[], path: readonly ProfileRange[], known: Map<ProfileRange, RangeNode>) {
  let siblings = top;
  for (const range of path) {
    let node = known.get(range);
    if (!node) {
      node = { name: range.name, startNs: Number.POSITIVE_INFINITY, endNs: Number.NEGATIVE_INFINITY, children: [] };
      known.set(range, node);
      siblings.push(node);
    }
    siblings = node.children;
  }
  return siblings;
}

/** The ops of one job. */
function place(ops: readonly ProfileEvent[], siblings: ProfileNode[], job?: ProfileEvent): void {
  const known = new Map<ProfileRange, RangeNode>();
  for (const op of ops) descend(siblings, chain(op.range), known).push(op);
  const [program] = known.values();
  if (!program || !job) return;
  program.startNs = job.startNs;
  program.endNs = job.endNs;
}

/** Makes a range span what it holds. */
function span(range: RangeNode): void {
  for (const child of range.children) {
    if (isRange(child)) span(child);
    range.startNs = Math.min(range.startNs, child.startNs);
    range.endNs = Math.max(range.endNs, child.endNs);
  }
}

/**
 * Spreads nodes over as many lanes as it takes for none to overlap another in its lane: one, unless activities took turns.
 */
export function lanesOf(top: readonly ProfileNode[]): ProfileNode[][] {
  const lanes: ProfileNode[][] = [];
  for (const node of [...top].sort((a, b) => a.startNs - b.startNs || b.endNs - a.endNs)) {
    const lane = lanes.find((nodes) => (nodes.at(-1) as ProfileNode).endNs <= node.startNs);
    if (lane) lane.push(node);
    else lanes.push([node]);
  }
  return lanes;
}

/** All of a profile under one name: what was asked for. */
export function titled(title: string, top: readonly ProfileNode[]): ProfileNode[] {
  const lanes = lanesOf(top);
  const [first = [], ...others] = lanes;
  if (first.length === 0) return [];
  const all = lanes.flat();
  const startNs = Math.min(...all.map((node) => node.startNs));
  const endNs = Math.max(...all.map((node) => node.endNs));
  return [{ name: title, startNs, endNs, children: first }, ...others.flat()];
}
