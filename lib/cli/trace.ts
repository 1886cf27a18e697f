import type { RoundReport } from '../models/bagel/answer.js';

/**
 * A round as text: its draft tree, one node per line, deeper nodes further right. Accepted nodes are marked with `*`, and the token
 * that the model chose after the last of them, the bonus token, follows.
 *
 * @param spell how a token id is shown
 */
export function roundText(round: RoundReport, spell: (id: number) => string): string {
  const { tokens, parents, targets, accepted, index } = round;
  const taken = new Set(accepted);
  const depth: number[] = [];
  const lines = tokens.map((token, i) => {
    const parent = parents[i] as number;
    depth[i] = parent < 0 ? 0 : (depth[parent] as number) + 1;
    return `${taken.has(i) ? '*' : ' '} ${'  '.repeat(depth[i] as number)}${spell(token)}`;
  });
  const last = accepted.at(-1) ?? 0;
  const head = `token ${index}: ${tokens.length - 1} drafted, ${accepted.length - 1} accepted`;
  return [head, ...lines, `+ ${'  '.repeat((depth[last] as number) + 1)}${spell(targets[last] as number)}`].join('\n');
}
