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

/** A drafter on the device in a round. */
export interface DeviceDrafting {
  draft: DeviceDraft;
  taps: readonly number[];
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

/**
 * Decode rounds of B sequences, each a recorded program: build the trees, run the model over their nodes, choose a token after
 * every node, accept the path that the choices confirm, move its keys and values in place, tell the host. A round of one node
 * per sequence is plain decoding: the same ops, and by row independence the same bits.
 */
export class Rounds {
  readonly #decoder: Decoder;
  readonly state: DecodeState;
  readonly channel: number;
  readonly #traceChannel: number;
  readonly #rankChannel: number;
  readonly #programs = new Map<DeviceDraft | undefined, Map<string, Program<unknown>>>();

  constructor(decoder: Decoder, state: DecodeState) {
    this.#decoder = decoder;
    this.state = state;
    this.channel = decoder.cx.openChannel();
    this.#traceChannel = decoder.cx.openChannel();
    this.#rankChannel = decoder.cx.openChannel();
  }

  /** Queues a round of at most `nodes` nodes per sequence; returns its ticket. */
  run(nodes: number, options: RoundOptions): number {
    const width = BUCKETS.find((b) => b >= nodes) ?? MAX_DRAFTED + 1;
    const { device, penalized, traced } = options;
    const programs = this.#programs.get(device?.draft) ?? new Map<string, Program<unknown>>();
    this.#programs.set(device?.draft, programs);
    const key = `${width} ${penalized} ${traced} ${device?.depth}`;
    let program = programs.get(key);
    if (!program) {
      program = this.#record(width, options);
      programs.set(key, program);
    }
    return program.run();
  }

  #record(width: number, { traced, penalized, device }: RoundOptions): Program<unknown> {
    const { cx, vocabulary, cache, cacheLayers } = this.#decoder;
    const { state } = this;
    return cx.record(() => {
      const tree = ops.treeBuild(cx, {
        tokens: state.candidateTokens,
        parents: state.candidateParents,
        values: state.candidateValues,
        count: state.candidateCount,
        moreTokens: device?.draft.candidates.tokens,
        moreParents: device?.draft.candidates.parents,
        moreValues: device?.draft.candidates.values,
        moreCount: device?.draft.candidates.count,
        budget: state.budget,
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
      const { path, accepted, event } = ops.treeVerify(cx, { target, token, parent, first, ...verified(state), width });
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
        device.draft.record({ taps, target, path, accepted, first }, device.depth);
        for (const payload of [tree.rank, path]) ops.emit(cx, { payload, channel: this.#rankChannel });
      }
      if (traced) {
        for (const payload of [rows, token, parent, target]) ops.emit(cx, { payload, channel: this.#traceChannel });
      }
      ops.emit(cx, { payload: event, channel: this.channel });
    });
  }

  /** What a record of the channel says about each sequence. */
  events(record: ArrayBuffer): RoundEvent[] {
    const words = new Int32Array(record);
    const length = words.length / this.state.size;
    return Array.from({ length: this.state.size }, (_, b) => {
      const at = b * length;
      const start = at + EVENT_HEAD;
      return {
        tokens: Array.from(words.subarray(start, start + (words[at] as number))),
        index: words[at + 1] as number,
        finished: words[at + 2] as 0 | 1 | 2,
        nodes: words[at + 3] as number,
      };
    });
  }

  /** Adds ranks to the events of the rounds with a drafter on the device that have run since the last call. */
  async addRanks(rounds: readonly (readonly RoundEvent[])[], ticket: number): Promise<void> {
    const records = (await this.#decoder.cx.receive(this.#rankChannel, ticket)).map((r) => new Int32Array(r));
    rounds.forEach((events, i) => {
      const [rank, path] = records.slice(2 * i, 2 * i + 2);
      if (!rank || !path) return;
      let first = 0;
      events.forEach((event, b) => {
        const accepted = path
          .subarray((b * path.length) / events.length + 1)
          .subarray(0, Math.max(0, event.tokens.length - 1));
        event.ranks = Array.from(accepted, (node) => (rank[first + node] as number) - 1);
        first += event.nodes;
      });
    });
  }

  /** The trees of the rounds that have run since the last call; empty without `traced`. */
  async traces(ticket: number): Promise<RoundTrace[][]> {
    const records = (await this.#decoder.cx.receive(this.#traceChannel, ticket)).map((r) => new Int32Array(r));
    const rounds: RoundTrace[][] = [];
    for (let i = 0; i + 4 <= records.length; i += 4) {
      const [[rows = 0] = [], tokens, parents, targets] = records.slice(i, i + 4) as [
        Int32Array,
        Int32Array,
        Int32Array,
        Int32Array,
      ];
      const trees: RoundTrace[] = [];
      for (let row = 0; row < rows; row++) {
        if (parents[row] === -1) trees.push({ tokens: [], parents: [], targets: [] });
        const tree = trees.at(-1);
        tree?.tokens.push(tokens[row] as number);
        tree?.parents.push(parents[row] as number);
        tree?.targets.push(targets[row] as number);
      }
      rounds.push(trees);
    }
    return rounds;
  }

  dispose(): void {
    for (const programs of this.#programs.values()) for (const program of programs.values()) program.dispose();
    this.#programs.clear();
    this.#decoder.cx.closeChannel(this.channel);
    this.#decoder.cx.closeChannel(this.#traceChannel);
    this.#decoder.cx.closeChannel(this.#rankChannel);
  }
}

/** The part of the state that verification reads and advances. */
function verified(state: DecodeState) {
  const { stop, limit, tokens, positions, slots, output, finished, history } = state;
  return { stop, limit, tokens, positions, slots, output, finished, history };
}
