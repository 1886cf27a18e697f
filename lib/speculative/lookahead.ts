import type { DraftBudget } from './drafter.js';
import type { Draft } from './state.js';
import { type DraftTree, MAX_DRAFTED } from './tree.js';

/** Weight of a round in the share of drafts ahead that found the answer where they expected it. */
const WEIGHT = 1 / 8;
const FIRST_SHARE = 0.6;
/** Below it a draft waits for the round before it: one that does not fit costs a plain step that the next draft waits for. */
const LEAST_SHARE = 0.4;
/** Rounds that are not drafted ahead bring the share back to just above the least, so that it is tried again. */
const RECOVERY = { share: 0.45, weight: 1 / 16 };

/** Whether drafting a round ahead of what is known has been worth its while in this answer. */
export class Lookahead {
  #share = FIRST_SHARE;

  get pays(): boolean {
    return this.#share >= LEAST_SHARE;
  }

  /** Tells about a round with a draft. `fitted`: of one that was queued ahead, whether the answer went on in its tree. */
  observe(fitted: boolean | undefined): void {
    const { share, weight } = fitted === undefined ? RECOVERY : { share: fitted ? 1 : 0, weight: WEIGHT };
    if (fitted !== undefined || this.#share < share) this.#share += weight * (share - this.#share);
  }
}

/** What a drafter is asked for when its tree is to last for two rounds. */
export const twice = ({ nodes, depth, least }: DraftBudget): DraftBudget => ({
  nodes: Math.min(MAX_DRAFTED, 2 * nodes + 1),
  depth: Math.min(MAX_DRAFTED, 2 * depth + 1),
  least: least && 2 * least, // a logarithm
});

/**
 * The tokens that a round is expected to give: along the best path of the newest tree, as long as they are among those that the round
 * verifies, and the one after that. Undefined: the tree ends too early.
 *
 * @param tree from the root of that round on
 * @param verified by it; undefined: a plain step
 */
export function expectedTokens(tree: DraftTree, verified: Draft | undefined): number[] | undefined {
  const tokens: number[] = [];
  let at = -1;
  let among: number | undefined = -1;
  for (const node of tree.order) {
    if (tree.parents[node] !== at) continue;
    const token = tree.tokens[node] as number;
    tokens.push(token);
    at = node;
    among = verified && childOf(verified, among as number, token);
    if (among === undefined) return tokens;
  }
  return undefined;
}

/** The verified node with a token below another one, or below the root. */
function childOf({ tree, nodes }: Draft, parent: number, token: number): number | undefined {
  return tree.order.subarray(0, nodes).find((node) => tree.parents[node] === parent && tree.tokens[node] === token);
}
