// Speculative decoding of the bundled model, arm beside arm: the same questions about pictures of the shapes world, answered plainly
// and with drafts, in turns.
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { LONG_QUESTION_TYPES, questionItems, renderScene, SHORT_QUESTION_TYPES } from '../lib/eval/world/index.js';
import { Image } from '../lib/io/image.js';
import type { Answer, Speculate } from '../lib/models/bagel/answer.js';
import type { Bagel } from '../lib/models/bagel/bagel.js';
import { NgramDrafter } from '../lib/speculative/ngram.js';
import { NgramMemory } from '../lib/speculative/ngram-memory.js';
import { oracle } from '../test/speculative/drafters.js';
import { bigramConfig, bigramHead, writeHead, writeRandomHead } from '../test/speculative/eagle-kit.js';
import { median } from './arithmetic.js';

interface Ask {
  image: Image;
  question: string;
}

/** The first `count` questions of each type, taken from the `offset`-th on. */
export function questionSet(types: readonly string[], count: number, offset: number): Ask[] {
  return types.flatMap((type) =>
    questionItems(type as never, offset + count)
      .slice(offset)
      .map(({ scene, question }) => ({ image: Image.fromRaw(renderScene(scene), 64, 64), question })),
  );
}

/** One way of answering: its name, and the drafter for the next question. */
interface Arm {
  name: string;
  /** Another copy of the model, with a draft head. */
  bagel?: Bagel;
  speculate(plain: Answer): Speculate;
  /** Size of its trees; undefined: by measured cost. */
  treeNodes?: number;
  /** Before each round over the set. */
  reset(): Promise<void>;
}

export interface ArmResult {
  name: string;
  /** Sum of `answerMs` over the set, one per round. */
  ms: number[];
  /** Median over the rounds of plain time / time. */
  speedup: number;
  meanAccepted: number;
  meanAcceptedWithBonus: number;
  nodesPerRound: number;
  draftShare: number;
}

async function ask(bagel: Bagel, { image, question }: Ask, speculate: Speculate, treeNodes?: number): Promise<Answer> {
  using session = bagel.session();
  await session.addImage(image);
  await session.addText(question);
  return await session.answer({ speculate, treeNodes, maxTokens: 256 }).result;
}

/** Answers the set by every arm, question by question in turns, for some rounds. */
async function compare(bagel: Bagel, set: readonly Ask[], arms: readonly Arm[], rounds: number): Promise<ArmResult[]> {
  const sums = arms.map(() => ({ ms: [] as number[], steps: 0, accepted: 0, rounds: 0, nodes: 0, draftMs: 0 }));
  for (let round = 0; round <= rounds; round++) {
    for (const arm of arms) await arm.reset();
    const ms = arms.map(() => 0);
    for (const item of set) {
      let plain: Answer | undefined;
      for (const [i, arm] of arms.entries()) {
        const answer = await ask(arm.bagel ?? bagel, item, plain ? arm.speculate(plain) : 'off', arm.treeNodes);
        plain ??= answer;
        if (answer.tokens.join() !== plain.tokens.join()) throw new Error(`${arm.name} changed an answer`);
        ms[i] = (ms[i] as number) + answer.timings.answerMs;
        const sum = sums[i];
        if (!sum || round === 0) continue;
        const s = answer.stats.speculation;
        sum.steps += answer.stats.steps;
        sum.accepted += s.accepted;
        sum.rounds += s.rounds;
        sum.nodes += s.nodesPerRound * s.rounds;
        sum.draftMs += s.draftMs;
      }
    }
    if (round === 0) continue;
    for (const [i, sum] of sums.entries()) sum.ms.push(ms[i] as number);
  }
  const plain = sums[0]?.ms ?? [];
  return arms.map((arm, i) => {
    const sum = sums[i] as (typeof sums)[number];
    return {
      name: arm.name,
      ms: sum.ms,
      speedup: median(sum.ms.map((ms, round) => (plain[round] as number) / ms)),
      meanAccepted: sum.accepted / sum.steps,
      meanAcceptedWithBonus: sum.accepted / sum.steps + 1,
      nodesPerRound: sum.rounds === 0 ? 0 : sum.nodes / sum.rounds,
      draftShare: sum.draftMs / sum.ms.reduce((a, b) => a + b, 0),
    };
  });
}

const nothing = async () => {};

/** Questions per type in a set, and of other pictures before it. */
const COUNTS = { long: 12, warm: 24, short: 3 };

/** Nodes of the trees of draft heads. */
const HEAD_NODES = 7;

/**
 * Two draft heads for the bundled model, which has none of its own: one that knows which token followed which in some answers, what a
 * small trained head knows at least; and one of random weights, which shows what drafting costs.
 */
async function writeHeads(
  folder: string,
  bagel: Bagel,
  asks: readonly Ask[],
): Promise<{ name: string; draft: string }[]> {
  const { llm } = bagel.config;
  const { bos, eos } = bagel.model.special;
  const counts = new Map<number, Map<number, number>>();
  for (const item of asks) {
    const { tokens } = await ask(bagel, item, 'off');
    for (const [i, token] of [bos, ...tokens].entries()) {
      const next = tokens[i] ?? eos;
      const after = counts.get(token) ?? new Map<number, number>();
      counts.set(token, after.set(next, (after.get(next) ?? 0) + 1));
    }
  }
  const often = [...counts].map(([token, after]): [number, number] => {
    const [[next]] = [...after].sort((a, b) => b[1] - a[1]) as [[number, number]];
    return [token, next];
  });
  const embeddings = await bagel.model.weights.embedTokens.floats();
  const known = bigramHead(llm, embeddings, new Map(often));
  return [
    { name: 'eagle, token pairs', draft: await writeHead(path.join(folder, 'pairs'), bigramConfig, known) },
    { name: 'eagle, random weights', draft: await writeRandomHead(path.join(folder, 'random'), llm) },
  ];
}

/** @param load the same model with a draft head */
export async function speculationRows(
  bagel: Bagel,
  rounds: number,
  load: (draft: string) => Promise<Bagel>,
): Promise<{ set: string; arms: ArmResult[] }[]> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'hyper-bagel-bench-'));
  const heads: Arm[] = [];
  try {
    for (const { name, draft } of await writeHeads(folder, bagel, questionSet(LONG_QUESTION_TYPES, COUNTS.warm, 0))) {
      heads.push({ name, bagel: await load(draft), speculate: () => 'eagle', treeNodes: HEAD_NODES, reset: nothing });
    }
    return await sets(bagel, rounds, heads);
  } finally {
    for (const head of heads) await head.bagel?.dispose();
    await rm(folder, { recursive: true, force: true });
  }
}

async function sets(bagel: Bagel, rounds: number, heads: Arm[]): Promise<{ set: string; arms: ArmResult[] }[]> {
  const { eos } = bagel.model.special;
  const off: Arm = { name: 'off', speculate: () => 'off', reset: nothing };
  const ngram = (name: string, before: readonly Ask[]): Arm => {
    let memory = new NgramMemory();
    const answers: number[][] = [];
    return {
      name,
      speculate: () => new NgramDrafter({ memory, name }),
      async reset() {
        memory = new NgramMemory();
        if (answers.length === 0) for (const item of before) answers.push((await ask(bagel, item, 'off')).tokens);
        for (const tokens of answers) memory.learn([...tokens, eos]);
      },
    };
  };
  const known: Arm = {
    name: 'oracle, depth 6',
    // twice as deep as what a round verifies: the next round's draft is part of it
    speculate: (plain) => oracle([...plain.tokens, eos], 13),
    treeNodes: 7,
    reset: nothing,
  };
  const long = questionSet(LONG_QUESTION_TYPES, COUNTS.long, COUNTS.warm);
  const short = questionSet(SHORT_QUESTION_TYPES, COUNTS.short, COUNTS.warm);
  const before = questionSet([...LONG_QUESTION_TYPES], COUNTS.warm, 0);
  const beforeShort = questionSet([...SHORT_QUESTION_TYPES], COUNTS.short * 2, 0);
  return [
    {
      set: `long answers (${long.length} of ${LONG_QUESTION_TYPES.join(', ')})`,
      arms: await compare(
        bagel,
        long,
        [off, ngram('ngram, cold', []), ngram('ngram, warm', before), ...heads, known],
        rounds,
      ),
    },
    {
      set: `short answers (${short.length} of ${SHORT_QUESTION_TYPES.length} types)`,
      arms: await compare(
        bagel,
        short,
        [off, ngram('ngram, cold', []), ngram('ngram, warm', beforeShort), ...heads, known],
        rounds,
      ),
    },
  ];
}

/** The arms of a set as cells, the head first. */
export function speculationTable(arms: readonly ArmResult[]): string[][] {
  return [
    ['drafter', 'ms of the set', 'speed-up', 'accepted per step', 'tokens per step', 'nodes per round', 'drafting'],
    ...arms.map((arm) => [
      arm.name,
      median(arm.ms).toFixed(1),
      `${arm.speedup.toFixed(2)}x`,
      arm.meanAccepted.toFixed(2),
      arm.meanAcceptedWithBonus.toFixed(2),
      arm.nodesPerRound.toFixed(1),
      `${(100 * arm.draftShare).toFixed(1)}%`,
    ]),
  ];
}
