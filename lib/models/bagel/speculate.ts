import os from 'node:os';
import { HyperBagelError } from '../../errors.js';
import { AdaptivePolicy } from '../../speculative/adaptive.js';
import { SpeculationControl } from '../../speculative/control.js';
import type { CostCurve } from '../../speculative/cost-curve.js';
import { loadCostCurve, storeCostCurve } from '../../speculative/cost-curve-file.js';
import type { Speculation } from '../../speculative/decode.js';
import { type Drafter, type HostDrafter, nameOf } from '../../speculative/drafter.js';
import { MEASURED_SLOTS, measureCostCurve } from '../../speculative/measure.js';
import { MergedDrafter } from '../../speculative/merged.js';
import { NgramDrafter } from '../../speculative/ngram.js';
import { NgramMemory } from '../../speculative/ngram-memory.js';
import { fixedPolicy } from '../../speculative/policy.js';
import { MAX_DRAFTED } from '../../speculative/tree.js';
import type { AnswerOptions, Speculate } from './answer.js';
import type { BagelModel } from './model.js';
import { checkInteger } from './options.js';

const KINDS = ['off', 'ngram', 'eagle', 'auto'] as const;

/** Tokens before the rounds whose cost is measured. */
const MEASURED_CONTEXT = 128;

/**
 * `auto` drafts where a round of eight nodes costs at most this many plain steps: as many as a good draft gives tokens. Small models on
 * few cores cost more, where the products, not the weights' way from memory, take the time.
 */
const AUTO_NODES = 8;
const AUTO_STEPS = 2;

/** Nodes of a tree while nothing is measured. */
const UNMEASURED_NODES = 8;

/** What an answer asked for. */
export interface SpeculationChoice {
  drafter: Drafter;
  /** Shares its trees. */
  beside?: HostDrafter | undefined;
  /** Nodes of a tree, the root included; undefined: by measured cost. */
  nodes: number | undefined;
  /** Only where it can pay. */
  auto: boolean;
}

/** Chooses how answers are drafted; keeps what drafters remember of earlier ones, and what rounds cost. */
export class Speculator {
  readonly #model: BagelModel;
  /** Identifies the model; with it the cost curve is kept for the next process. */
  readonly #hash: string | undefined;
  readonly #memory = new NgramMemory();
  readonly #ngrams = new WeakMap<object, NgramDrafter>();
  /** By drafter: what was learnt about it. */
  readonly #controls = new Map<string, SpeculationControl>();
  #curve: Promise<CostCurve> | undefined;

  constructor(model: BagelModel, hash?: string) {
    this.#model = model;
    this.#hash = hash;
  }

  /**
   * Checks what an answer asks for.
   *
   * @param session whose drafter it is
   * @throws HyperBagelError BAD_OPTION; NOT_SUPPORTED (a drafter that this model does not have)
   */
  choose(options: AnswerOptions, session: object): SpeculationChoice | undefined {
    const nodes =
      options.treeNodes === undefined ? undefined : checkInteger('treeNodes', options.treeNodes, 1, MAX_DRAFTED + 1);
    const wanted = options.speculate ?? 'auto';
    const { drafter, beside } = this.#drafters(wanted, session);
    return drafter && { drafter, beside, nodes, auto: wanted === 'auto' };
  }

  /**
   * Gets ready for an answer: measures once what rounds cost.
   *
   * @param prompt text tokens of the conversation so far
   */
  async prepare(
    { drafter, beside, nodes, auto }: SpeculationChoice,
    prompt: readonly number[],
  ): Promise<Speculation | undefined> {
    if (nodes !== undefined) return { drafter, beside, policy: fixedPolicy(nodes), prompt };
    let curve: CostCurve;
    try {
      curve = await this.curve();
    } catch (error) {
      if (!HyperBagelError.isInstance(error) || error.code !== 'CONTEXT_FULL') throw error;
      return { drafter, beside, policy: fixedPolicy(UNMEASURED_NODES), prompt }; // no room to measure in now
    }
    if (auto && curve.ms(AUTO_NODES) > AUTO_STEPS * curve.stepMs) return undefined;
    const name = nameOf({ drafter, beside });
    let control = this.#controls.get(name);
    if (!control) {
      control = new SpeculationControl(curve);
      this.#controls.set(name, control);
    }
    const learnt = control;
    return {
      drafter,
      beside,
      policy: new AdaptivePolicy(learnt),
      prompt,
      plainMs: curve.stepMs,
      note: () => (learnt.stats.state === 'off' ? `switched off: ${learnt.stats.reason}` : undefined),
    };
  }

  /**
   * What rounds cost: measured once.
   *
   * @throws HyperBagelError CONTEXT_FULL; it is tried again at the next call
   */
  async curve(): Promise<CostCurve> {
    this.#curve ??= this.#measured();
    try {
      return await this.#curve;
    } catch (error) {
      this.#curve = undefined;
      throw error;
    }
  }

  /** A kept measurement, or a new one. */
  async #measured(): Promise<CostCurve> {
    const { cx, dtype } = this.#model;
    const key = this.#hash && {
      model: this.#hash,
      device: `${cx.device} ${cx.card ?? os.cpus()[0]?.model ?? ''}`,
      isa: cx.isa,
      threads: cx.threads,
      dtype,
    };
    const known = key && (await loadCostCurve(key));
    if (known) return known;
    const sequence = this.#model.sequence();
    try {
      const { vocabulary, maxPositions } = this.#model;
      const context = Math.min(MEASURED_CONTEXT, Math.floor(maxPositions / 4));
      this.#model.appendTokens(
        sequence,
        Array.from({ length: context }, (_, i) => (i * 37) % vocabulary),
      );
      this.#model.reserve(sequence, Math.min(MEASURED_SLOTS, maxPositions - context));
      const curve = await measureCostCurve(this.#model, sequence);
      if (key) await storeCostCurve(key, curve).catch(() => {}); // a cache that cannot be written is none
      return curve;
    } finally {
      sequence.release();
    }
  }

  #drafters(wanted: Speculate, session: object): { drafter?: Drafter | undefined; beside?: HostDrafter | undefined } {
    if (!Array.isArray(wanted)) {
      return { drafter: this.#drafter(wanted as Exclude<Speculate, readonly unknown[]>, session) };
    }
    const refuse = (expected: string) =>
      new HyperBagelError('BAD_OPTION', `a list of drafters must hold ${expected}`, { operand: 'speculate', expected });
    if (wanted.length === 0) throw refuse('one at least');
    const drafters = wanted.map((each: Speculate) => {
      if (each === 'off' || each === 'auto' || Array.isArray(each)) throw refuse("'ngram', 'eagle' and drafters only");
      return this.#drafter(each as Drafter, session) as Drafter;
    });
    if (new Set(drafters).size < drafters.length) throw refuse('each once');
    const hosts = drafters.filter((drafter) => drafter.kind === 'host');
    const devices = drafters.filter((drafter) => drafter.kind === 'device');
    if (devices.length > 1) throw refuse('one on the device at most');
    const host = hosts.length > 1 ? new MergedDrafter(hosts) : hosts[0];
    return devices[0] ? { drafter: devices[0], beside: host } : { drafter: host };
  }

  #drafter(wanted: Exclude<Speculate, readonly unknown[]>, session: object): Drafter | undefined {
    if (typeof wanted === 'object' && wanted !== null) {
      if (wanted.kind === 'device' && wanted !== this.#model.drafter) {
        throw new HyperBagelError('NOT_SUPPORTED', `drafter ${wanted.name} belongs to another model`, {
          operand: 'speculate',
        });
      }
      this.#check(wanted);
      return wanted;
    }
    switch (wanted) {
      case 'off':
        return undefined;
      case 'auto':
        return this.#model.drafter ?? this.#drafter('ngram', session);
      case 'ngram': {
        let ngram = this.#ngrams.get(session);
        if (!ngram) {
          ngram = new NgramDrafter({ memory: this.#memory });
          this.#ngrams.set(session, ngram);
        }
        return ngram;
      }
      case 'eagle':
        if (this.#model.drafter) return this.#model.drafter;
        throw new HyperBagelError('NOT_SUPPORTED', 'this model has no draft head: load it with the option draft', {
          operand: 'speculate',
          expected: 'a folder draft/ in the model folder, or the option draft',
        });
      default:
        throw new HyperBagelError('BAD_OPTION', `speculate must be one of ${KINDS.join(', ')} or a drafter`, {
          operand: 'speculate',
          expected: KINDS.join(', '),
          got: String(wanted),
        });
    }
  }

  #check(drafter: Drafter): void {
    const { vocabulary } = this.#model;
    if (drafter.vocabulary === undefined || drafter.vocabulary === vocabulary) return;
    throw new HyperBagelError('BAD_OPTION', `drafter ${drafter.name} was made for another vocabulary`, {
      operand: 'speculate',
      expected: `${vocabulary} tokens`,
      got: `${drafter.vocabulary}`,
    });
  }
}
