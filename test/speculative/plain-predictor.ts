// What the n-gram drafter should predict, from scans of the texts.
import { MixtureWeights } from '../../lib/speculative/mixture.js';
import { MAX_CONTEXT } from '../../lib/speculative/ngram-memory.js';

/** Occurrences of a run of tokens, and what followed it, by scanning. */
function scan(texts: readonly number[][], run: readonly number[]): { seen: number; after: Map<number, number> } {
  let seen = 0;
  const after = new Map<number, number>();
  for (const text of texts) {
    for (let i = run.length; i <= text.length; i++) {
      if (!run.every((token, k) => text[i - run.length + k] === token)) continue;
      seen++;
      const next = text[i];
      if (next !== undefined) after.set(next, (after.get(next) ?? 0) + 1);
    }
  }
  return { seen, after };
}

/** The contexts that end a text and went on somewhere, longest first: how long, and what followed in each source. */
function contexts(sources: readonly (readonly number[][])[], text: readonly number[]) {
  const reach = sources.map((texts) => {
    let length = Math.min(text.length, MAX_CONTEXT);
    while (length > 0 && scan(texts, text.slice(-length)).seen === 0) length--;
    return length;
  });
  const found: { length: number; total: number; distinct: number; asked: Map<number, number>[] }[] = [];
  for (let length = Math.max(...reach); length > 0; length--) {
    // a shorter context that occurs at the same places says nothing new
    const asked = sources
      .map((texts, a) => ({ reach: reach[a] as number, here: scan(texts, text.slice(-length)), texts }))
      .filter(({ reach }) => reach >= length)
      .filter(({ reach, here, texts }) => reach === length || scan(texts, text.slice(-length - 1)).seen !== here.seen)
      .map(({ here }) => here.after);
    const total = asked.flatMap((after) => [...after.values()]).reduce((a, b) => a + b, 0);
    const distinct = asked.reduce((sum, after) => sum + after.size, 0);
    if (total > 0) found.push({ length, total, distinct, asked });
  }
  return found;
}

/** The drafter's rule over a plain n-gram counter. Sources are the session and the parts of the memory. */
export class PlainPredictor {
  readonly weights = new MixtureWeights();

  stages(sources: readonly (readonly number[][])[], text: readonly number[]) {
    return contexts(sources, text).map((context) => {
      const cell = this.weights.cell(context.length, context.total, context.distinct);
      const pass = this.weights.pass(cell, context.total, context.distinct);
      return { ...context, cell, pass, scale: (1 - pass) / (context.total - 0.7 * context.distinct) };
    });
  }

  predict(sources: readonly (readonly number[][])[], text: readonly number[]): Map<number, number> {
    const chance = new Map<number, number>();
    let left = 1;
    for (const { asked, scale, pass } of this.stages(sources, text)) {
      if (left <= 0.01) break;
      for (const after of asked) {
        for (const [token, count] of after) {
          const share = left * scale * (count - 0.7);
          if (share >= 0.005) chance.set(token, (chance.get(token) ?? 0) + share);
        }
      }
      left *= pass;
    }
    return chance;
  }

  /** One step of expectation maximisation, by Bayes' rule from each context's part in the token's probability. */
  learn(sources: readonly (readonly number[][])[], text: readonly number[], token: number): void {
    const stages = this.stages(sources, text);
    const parts = stages.map(({ asked, scale }, s) => {
      const reached = stages.slice(0, s).reduce((product, { pass }) => product * pass, 1);
      return (
        reached * scale * asked.reduce((sum, after) => sum + (after.has(token) ? (after.get(token) ?? 0) - 0.7 : 0), 0)
      );
    });
    parts.push(0.002 * stages.reduce((product, { pass }) => product * pass, 1));
    const from = (s: number) => parts.slice(s).reduce((a, b) => a + b, 0);
    const records = stages.map(({ cell }, s) => [cell, from(s) / from(0), from(s + 1) / from(0)] as const);
    for (const [cell, reached, passed] of records.reverse()) this.weights.record(cell, reached, passed);
  }
}
