import { readFile } from 'node:fs/promises';
import { HyperBagelError } from '../errors.js';
import { ioError } from '../io/file-error.js';
import type { Suite } from './suite.js';

/** An evaluation beside a recorded one, item by item. */
export interface Comparison {
  /** Items that both have. */
  readonly items: number;
  /** Items with the same parsed scene, or the same answer to the letter. */
  readonly sameOutcome: number;
  /** Items judged the same. */
  readonly sameVerdict: number;
  readonly groups: readonly { readonly group: string; readonly items: number; readonly sameOutcome: number }[];
  readonly differences: readonly {
    readonly item: string;
    readonly recorded: string;
    readonly ours: string;
    readonly sameVerdict: boolean;
  }[];
}

/**
 * A recorded evaluation: one JSON object a line.
 *
 * @throws HyperBagelError IO when it cannot be read or holds a line that is no record of the suite
 */
export async function readRecorded<R>(file: string, suite: Suite<R>): Promise<R[]> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw ioError('read', file, error);
  }
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line, i) => {
    const record = parseLine(line, suite);
    if (record !== undefined) return record;
    throw new HyperBagelError('IO', `${file}: line ${i + 1} is no item of suite ${suite.name}`, { operand: file });
  });
}

function parseLine<R>(line: string, suite: Suite<R>): R | undefined {
  try {
    return suite.read(JSON.parse(line));
  } catch {
    return undefined;
  }
}

export function compareRecords<R>(suite: Suite<R>, ours: readonly R[], recorded: readonly R[]): Comparison {
  const known = new Map(recorded.map((record) => [suite.keyOf(record), record]));
  const pairs = ours.flatMap((our) => {
    const their = known.get(suite.keyOf(our));
    return their === undefined ? [] : [{ our, their, same: suite.outcomeOf(our) === suite.outcomeOf(their) }];
  });
  const sameVerdict = ({ our, their }: { our: R; their: R }) => suite.verdictOf(our) === suite.verdictOf(their);
  const groups = suite.groups
    .map((group) => ({ group, pairs: pairs.filter(({ our }) => suite.groupOf(our) === group) }))
    .filter((each) => each.pairs.length > 0);
  return {
    items: pairs.length,
    sameOutcome: pairs.filter(({ same }) => same).length,
    sameVerdict: pairs.filter(sameVerdict).length,
    groups: groups.map((each) => ({
      group: each.group,
      items: each.pairs.length,
      sameOutcome: each.pairs.filter(({ same }) => same).length,
    })),
    differences: pairs
      .filter((pair) => !pair.same || !sameVerdict(pair))
      .map((pair) => ({
        item: suite.keyOf(pair.our),
        recorded: suite.outcomeOf(pair.their),
        ours: suite.outcomeOf(pair.our),
        sameVerdict: sameVerdict(pair),
      })),
  };
}
