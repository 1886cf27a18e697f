import { HyperBagelError } from '../../errors.js';
import { fixedPolicy, type Speculation } from '../../speculative/decode.js';
import type { HostDrafter } from '../../speculative/drafter.js';
import type { AnswerOptions } from './answer.js';
import { checkInteger } from './options.js';

const KINDS = ['off', 'ngram', 'eagle', 'auto'] as const;

/** Chooses how answers are drafted. */
export class Speculator {
  constructor(private readonly vocabulary: number) {}

  /**
   * @param prompt text tokens of the conversation so far
   * @throws HyperBagelError BAD_OPTION
   */
  choose(options: AnswerOptions, prompt: readonly number[]): Speculation | undefined {
    const nodes = checkInteger('treeNodes', options.treeNodes ?? 32, 1, 128);
    const wanted = options.speculate ?? 'off';
    if (typeof wanted === 'object' && wanted !== null) {
      if (wanted.kind !== 'host') throw new HyperBagelError('NOT_SUPPORTED', 'device drafters are not supported yet');
      this.#check(wanted);
      return { drafter: wanted, policy: fixedPolicy(nodes), prompt };
    }
    if (!KINDS.includes(wanted)) {
      throw new HyperBagelError('BAD_OPTION', `speculate must be one of ${KINDS.join(', ')} or a drafter`, {
        operand: 'speculate',
        expected: KINDS.join(', '),
        got: String(wanted),
      });
    }
    return undefined;
  }

  #check(drafter: HostDrafter): void {
    if (drafter.vocabulary === undefined || drafter.vocabulary === this.vocabulary) return;
    throw new HyperBagelError('BAD_OPTION', `drafter ${drafter.name} was made for another vocabulary`, {
      operand: 'speculate',
      expected: `${this.vocabulary} tokens`,
      got: `${drafter.vocabulary}`,
    });
  }
}
