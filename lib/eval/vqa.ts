import { Image } from '../io/image.js';
import { evenly, fieldsOf, isOneOf, mean, roundRobin, type Suite } from './suite.js';
import {
  answerMatches,
  IMAGE_SIDE,
  LONG_QUESTION_TYPES,
  QUESTION_TYPES,
  type QuestionType,
  questionItems,
  renderScene,
  SHORT_QUESTION_TYPES,
} from './world/index.js';

export interface VqaRecord {
  readonly type: QuestionType;
  readonly seed: number;
  readonly question: string;
  readonly expected: string;
  readonly answer: string;
  readonly ok: boolean;
}

export const VQA_SUITE: Suite<VqaRecord> = {
  name: 'vqa',
  groups: QUESTION_TYPES,
  groupOf: ({ type }) => type,
  keyOf: ({ type, seed }) => `${type} ${seed}`,
  outcomeOf: ({ answer }) => answer,
  verdictOf: ({ ok }) => (ok ? 'pass' : 'fail'),
  read: (value) => {
    const { type, seed, question, expected, answer, ok } = fieldsOf(value);
    if (!isOneOf(QUESTION_TYPES, type) || !Number.isSafeInteger(seed) || typeof ok !== 'boolean') return undefined;
    if (![question, expected, answer].every((each) => typeof each === 'string')) return undefined;
    return { type, seed, question, expected, answer, ok } as VqaRecord;
  },
};

/** A question to be answered and judged. */
export interface QuestionTask {
  readonly key: string;
  readonly question: string;
  readonly image: Image;
  judge(answer: string): VqaRecord;
}

/** The questions of VQA, `count` in all, evenly over the types. @throws HyperBagelError BAD_OPTION */
export function vqaTasks(count: number): QuestionTask[] {
  const items = roundRobin(
    QUESTION_TYPES.map((each, i) => questionItems(each, evenly(count, QUESTION_TYPES.length, i))),
  );
  return items.map(({ type, seed, question, answer: expected, scene }) => ({
    key: `${type} ${seed}`,
    question,
    image: Image.fromRaw(renderScene(scene), IMAGE_SIDE, IMAGE_SIDE),
    judge: (answer) => ({ type, seed, question, expected, answer, ok: answerMatches(expected, answer) }),
  }));
}

export interface VqaScores {
  readonly items: number;
  readonly types: Readonly<Partial<Record<QuestionType, number>>>;
  /** Mean over the answers to the eleven short types, and to the two long ones; NaN without any. */
  readonly short: number;
  readonly long: number;
}

export function vqaScores(records: readonly VqaRecord[]): VqaScores {
  const share = (types: readonly QuestionType[]) =>
    mean(records.filter(({ type }) => types.includes(type)).map(({ ok }) => ok));
  const types = Object.fromEntries(
    QUESTION_TYPES.filter((type) => records.some((record) => record.type === type)).map((type) => [
      type,
      share([type]),
    ]),
  );
  return { items: records.length, types, short: share(SHORT_QUESTION_TYPES), long: share(LONG_QUESTION_TYPES) };
}
