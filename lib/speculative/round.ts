import * as ops from '../generated/ops.js';
import type { Program } from '../tensor/program.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Decoder } from './decoder.js';
import type { DeviceDraft } from './drafter.js';
import type { DecodeState } from './state.js';
import { MAX_DRAFTED } from './tree.js';

/** What a round tells about one sequence. */
export interface RoundEvent {
  /** Tokens that it gave, the last one the model's own, those before it drafted; empty when the sequence had finished. */
  tokens: number[];
  /** Index of the first of them in the answer. */
  index: number;
  /** 1: the last one is a stop token and does not count. 2: the limit is reached. */
  finished: 0 | 1 | 2;
  /** Nodes that were verified, the root included. */
  nodes: number;
  /** Of a round with a drafter on the device: ranks of the accepted nodes among those drafted, 0 for the best. */
  ranks?: readonly number[] | undefined;
}

/** What a round gave. */
export interface RoundResult {
  /** One per sequence of the state. */
  events: RoundEvent[];
  /** The trees, one per sequence that was running; only with `traced`. */
  traces: RoundTrace[];
  /** Time that the device drafted: in this round, and for answers that began before it. */
  draftMs: number;
}

/** The tree of a round, for people: nodes in depth-first order. */
export interface RoundTrace {
  tokens: number[];
  /** -1 for the root. */
  parents: number[];
  /** What the model chose after each node. */
  targets: number[];
}

/** Nodes per sequence that programs are recorded for, the root included. */
const BUCKETS = [1, 16, 64, MAX_DRAFTED + 1] as const;

/** Words of an event before its tokens. */
const EVENT_HEAD = 4;

/** Records of a round before its event: those of a drafter on the device, and the trees. */
const DRAFT_RECORDS = 3;
const TRACE_RECORDS = 4;

/** A drafter on the device in a round. */
export interface DeviceDrafting {
  draft: DeviceDraft;
  taps: readonly number[];
  /** Its candidates are those of this round. */
  fresh: boolean;
  /** Levels of the next round's trees; 0: none are drafted. */
  depth: number;
}

/** What a round does besides. */
export interface RoundOptions {
  device?: DeviceDrafting | undefined;
  /** Emits the trees. */
  traced: boolean;
  /** Some sequence has a repetition penalty. */
  penalized: boolean;
}

interface TimedRecord {
  data: ArrayBuffer;
  at: number;
}

/** What is to come on the channel: a round, or the two ends of a draft before the first round of an answer. */
type Announced = { draft: true } | { draft: false; device: boolean; traced: boolean };

/**
 * Decode rounds of B sequences, each a recorded program: build the trees, run the model over their nodes, choose a token after
 * every node, accept the path that the choices confirm, move its keys and values in place, tell the host. A round of one node
 * per sequence is plain decoding: the same ops, and by row independence the same bits.
 */
export class Rounds {
  readonly #decoder: Decoder;
  readonly state: DecodeState;
  readonly channel: number;
  readonly #programs = new Map<DeviceDraft | undefined, Map<string, Program<unknown>>>();
  #announced: Announced[] = [];
  #records: TimedRecord[] = [];
  #draftMs = 0;

  constructor(decoder: Decoder, state: DecodeState) {
    this.#decoder = decoder;
    this.state = state;
    this.channel = decoder.cx.openChannel();
  }

  /** Queues a round of at most `nodes` nodes per sequence; returns its ticket. */
  run(nodes: number, options: RoundOptions): number {
    const width = BUCKETS.find((b) => b >= nodes) ?? MAX_DRAFTED + 1;
    const { device, penalized, traced } = options;
    const programs = this.#programs.get(device?.draft) ?? new Map<string, Program<unknown>>();
    this.#programs.set(device?.draft, programs);
    const key = `${width} ${penalized} ${traced} ${device?.fresh} ${device?.depth}`;
    let program = programs.get(key);
    if (!program) {
      program = this.#record(width, options);
      programs.set(key, program);
    }
    const ticket = program.run();
    this.#announced.push({ draft: false, device: device !== undefined, traced });
    return ticket;
  }

  /** Queues drafting outside a round; its time counts with the next one's. */
  draft(queue: () => void): void {
    const { cx } = this.#decoder;
    const { channel, state } = this;
    ops.emit(cx, { payload: state.finished, channel });
    this.#announced.push({ draft: true });
    try {
      cx.range('draft', queue);
    } finally {
      ops.emit(cx, { payload: state.finished, channel });
    }
  }

  #record(width: number, { traced, penalized, device }: RoundOptions): Program<unknown> {
    const { cx, vocabulary, cache, cacheLayers } = this.#decoder;
    const { state, channel } = this;
    const more = device?.fresh && width > 1 ? device.draft.candidates : undefined;
    return cx.record(
      () => {
        const tree = ops.treeBuild(cx, {
          tokens: state.candidateTokens,
          parents: state.candidateParents,
          values: more ? state.candidateLogs : state.candidateValues,
          count: state.candidateCount,
          since: width > 1 ? state.since : undefined,
          history: width > 1 ? state.history : undefined,
          moreTokens: more?.tokens,
          moreParents: more?.parents,
          moreValues: more?.values,
          moreCount: more?.count,
          budget: width > 1 ? state.budget : state.single,
          root: state.tokens,
          rootPosition: state.positions,
          rootSlot: state.slots,
          output: state.output,
          limit: state.limit,
          capacity: state.capacity,
          finished: state.finished,
          capacityRows: width * state.size,
          vocabulary,
        });
        const { rows, seq, token, parent, first } = tree;
        const streams = new Map<number, Tensor<'f32' | 'bf16'>>();
        const logits = this.#decoder.logits(
          {
            tokens: token,
            positions: tree.position,
            seq,
            slots: tree.slot,
            visible: tree.visible,
            own: tree.own,
            ancestors: tree.ancestors,
            pageTable: state.pageTable,
            rows,
          },
          device && ((layer, x) => streams.set(layer, x)),
        );
        if (penalized) {
          const { penalty, history, output: count } = state;
          ops.penalize(cx, { logits, penalty, history, count, seq, token, parent, first, rows });
        }
        const { temperature, topK, topP, minP, seed } = state;
        const target = ops.sample(cx, { logits, seq, temperature, topK, topP, minP, seed, position: tree.index, rows });
        const { path, accepted, event } = ops.treeVerify(cx, {
          target,
          token,
          parent,
          first,
          ...verified(state),
          width,
        });
        if (width > 1) {
          const { pageTable, slots } = state;
          ops.kvCommit(cx, {
            kCache: cache.keys,
            vCache: cache.values,
            pageTable,
            path,
            accepted,
            slots,
            layers: cacheLayers,
          });
        }
        if (device) {
          const taps = device.taps.map((layer) => streams.get(layer) as Tensor<'f32' | 'bf16'>);
          for (const payload of [tree.rank, path]) ops.emit(cx, { payload, channel });
          cx.range('draft', () => device.draft.record({ taps, target, path, accepted, first }, device.depth));
          ops.emit(cx, { payload: state.finished, channel }); // for its time
        }
        if (traced) for (const payload of [rows, token, parent, target]) ops.emit(cx, { payload, channel });
        ops.emit(cx, { payload: event, channel });
      },
      `round of ${width} node${width === 1 ? '' : 's'}`,
    );
  }

  /**
   * The rounds that have ended since the last call: waits for one at least; none when that with this ticket was cancelled or has
   * failed.
   */
  async receive(ticket: number): Promise<RoundResult[]> {
    for (;;) {
      const records = await this.#decoder.cx.receiveTimed(this.channel, ticket);
      if (records.length === 0) return [];
      this.#records.push(...records);
      const rounds = this.#read();
      if (rounds.length > 0) return rounds;
    }
  }

  /** Waits for the round with this ticket and forgets what nobody has received. */
  async drain(ticket: number): Promise<void> {
    await this.#decoder.cx.drain(this.channel, ticket);
    this.#announced = [];
    this.#records = [];
    this.#draftMs = 0;
  }

  #read(): RoundResult[] {
    const rounds: RoundResult[] = [];
    for (let next = this.#announced[0]; next; next = this.#announced[0]) {
      const drafting = next.draft || !next.device ? 0 : DRAFT_RECORDS;
      const tracing = next.draft || !next.traced ? 0 : TRACE_RECORDS;
      const count = next.draft ? 2 : drafting + tracing + 1;
      if (this.#records.length < count) break;
      this.#announced.shift();
      const records = this.#records.splice(0, count);
      const at = (i: number) => (records[i] as TimedRecord).at;
      if (next.draft) {
        this.#draftMs += at(1) - at(0);
        continue;
      }
      const words = records.map(({ data }) => new Int32Array(data));
      const events = readEvents(words.at(-1) as Int32Array, this.state.size);
      if (drafting > 0) {
        this.#draftMs += at(2) - at(1);
        addRanks(events, words[0] as Int32Array, words[1] as Int32Array);
      }
      const traces = tracing > 0 ? readTrees(words.slice(drafting, drafting + tracing)) : [];
      rounds.push({ events, traces, draftMs: this.#draftMs });
      this.#draftMs = 0;
    }
    return rounds;
  }

  dispose(): void {
    for (const programs of this.#programs.values()) for (const program of programs.values()) program.dispose();
    this.#programs.clear();
    this.#decoder.cx.closeChannel(this.channel);
  }
}

function readEvents(words: Int32Array, size: number): RoundEvent[] {
  const length = words.length / size;
  return Array.from({ length: size }, (_, b) => {
    const at = b * length;
    const start = at + EVENT_HEAD;
    return {
      tokens: Array.prototype.slice.call(words, start, start + (words[at] as number)),
      index: words[at + 1] as number,
      finished: words[at + 2] as 0 | 1 | 2,
      nodes: words[at + 3] as number,
    };
  });
}

/** @param rank of every row; @param path [B, W] */
function addRanks(events: readonly RoundEvent[], rank: Int32Array, path: Int32Array): void {
  const width = path.length / events.length;
  let first = 0;
  events.forEach((event, b) => {
    const start = b * width + 1;
    const accepted = path.subarray(start, start + Math.max(0, event.tokens.length - 1));
    event.ranks = Array.from(accepted, (node) => (rank[first + node] as number) - 1);
    first += event.nodes;
  });
}

function readTrees(columns: readonly Int32Array[]): RoundTrace[] {
  const [[rows = 0], tokens, parents, targets] = columns as [Int32Array, Int32Array, Int32Array, Int32Array];
  const trees: RoundTrace[] = [];
  for (let row = 0; row < rows; row++) {
    if (parents[row] === -1) trees.push({ tokens: [], parents: [], targets: [] });
    const tree = trees.at(-1);
    tree?.tokens.push(tokens[row] as number);
    tree?.parents.push(parents[row] as number);
    tree?.targets.push(targets[row] as number);
  }
  return trees;
}

/** The part of the state that verification reads and advances. */
function verified(state: DecodeState) {
  const { stop, limit, tokens, positions, slots, output, finished, history } = state;
  return { stop, limit, tokens, positions, slots, output, finished, history };
}
