// ONNX Runtime as an engine of a child process.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { seeded } from '../../test/kit/cases.js';
import { casesOf } from '../rows.js';
import { type Engine, type Prepared, type Row, timeCalls } from '../worker/messages.js';
import { type PeerGraph, peerGraphs } from './graphs.js';
import { peerFolder } from './install.js';

/** As much of onnxruntime-node as is used; it is not there when the bench is compiled. */
interface Tensor {
  data: Float32Array;
}
interface Session {
  run(feeds: Record<string, Tensor>, fetches: Record<string, Tensor | null>): Promise<Record<string, Tensor>>;
  release(): Promise<void>;
}
interface Module {
  Tensor: new (type: 'float32', data: Float32Array, dims: readonly number[]) => Tensor;
  InferenceSession: { create(model: Uint8Array, options: object): Promise<Session> };
}

interface Ready {
  graph: PeerGraph;
  sessions: Session[];
  feeds: Record<string, Tensor>;
  out: Tensor;
  turn: number;
}

/** Seconds that each way of doing a case is tried for. */
const TRIAL_SECONDS = 0.2;

export class OnnxRuntime implements Engine {
  readonly #slots = new Map<string, Ready>();

  private constructor(
    private readonly ort: Module,
    private readonly version: string,
    private readonly threads: number,
  ) {}

  static async open(threads: number): Promise<OnnxRuntime> {
    const require = createRequire(path.join(peerFolder(), 'package.json'));
    const manifest = path.join(peerFolder(), 'node_modules', 'onnxruntime-node', 'package.json');
    const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string };
    return new OnnxRuntime(require('onnxruntime-node') as Module, version, threads);
  }

  readonly isa = '';

  describe(): string {
    return `onnxruntime-node ${this.version}`;
  }

  async #load(graph: PeerGraph, copies: number): Promise<Ready> {
    const { Tensor, InferenceSession } = this.ort;
    const options = {
      executionProviders: ['cpu'],
      graphOptimizationLevel: 'all',
      executionMode: 'sequential',
      intraOpNumThreads: this.threads,
      interOpNumThreads: 1,
      logSeverityLevel: 3,
    };
    const sessions: Session[] = [];
    for (let i = 0; i < copies; i++) sessions.push(await InferenceSession.create(graph.model, options));
    const size = graph.shape.reduce((a, b) => a * b, 1);
    return {
      graph,
      sessions,
      feeds: Object.fromEntries(
        Object.entries(graph.feeds).map(([name, { shape, data }]) => [name, new Tensor('float32', data, shape)]),
      ),
      out: new Tensor('float32', new Float32Array(size), graph.shape),
      turn: 0,
    };
  }

  async #run(ready: Ready): Promise<void> {
    const session = ready.sessions[ready.turn++ % ready.sessions.length] as Session;
    await session.run(ready.feeds, { y: ready.out });
  }

  /** Tries every way of doing the case and keeps the fastest. */
  async prepare(slot: string, row: Row): Promise<Prepared> {
    if (row.kind !== 'op') throw new Error('the peer has ops only');
    const found = (await casesOf(row.op)).cases.find((c) => c.name === row.case);
    if (!found) throw new Error(`${row.op} has no case ${row.case}`);
    const tried: { graph: PeerGraph; seconds: number }[] = [];
    const refused: string[] = [];
    for (const graph of peerGraphs(row.op, found.build(seeded(7)))) {
      let ready: Ready;
      try {
        ready = await this.#load(graph, 1);
        await this.#run(ready);
      } catch (error) {
        refused.push(`${graph.name}: ${error instanceof Error ? error.message : error}`);
        continue;
      }
      tried.push({ graph, seconds: await timeCalls(TRIAL_SECONDS, () => this.#run(ready)) });
      await Promise.all(ready.sessions.map((session) => session.release()));
    }
    tried.sort((a, b) => a.seconds - b.seconds);
    const [best] = tried;
    if (!best) throw new Error(`the peer does none of the graphs: ${refused.join('; ')}`);
    this.#slots.set(slot, await this.#load(best.graph, row.copies ?? 1));
    const ms = (seconds: number) => `${(seconds * 1e3).toFixed(2)} ms`;
    const others = tried.slice(1).map((t) => `${t.graph.name} ${ms(t.seconds)}`);
    return {
      about: [`${best.graph.name} ${ms(best.seconds)}`, ...others, ...refused.map((r) => `refused ${r}`)].join(', '),
    };
  }

  #ready(slot: string): Ready {
    const ready = this.#slots.get(slot);
    if (!ready) throw new Error(`nothing is prepared as ${slot}`);
    return ready;
  }

  async output(slot: string, rows: readonly number[]): Promise<Float64Array[]> {
    const ready = this.#ready(slot);
    ready.out.data.fill(Number.NaN);
    await this.#run(ready);
    return rows.map((row) => ready.graph.row(ready.out.data, row));
  }

  sample(slot: string, seconds: number): Promise<number> {
    const ready = this.#ready(slot);
    return timeCalls(seconds, () => this.#run(ready));
  }

  async drop(slot: string): Promise<void> {
    const { sessions } = this.#ready(slot);
    this.#slots.delete(slot);
    await Promise.all(sessions.map((session) => session.release()));
  }
}
