import { type Command, Option } from 'commander';
import type { Answer, Bagel } from '../index.js';
import type { RoundReport } from '../models/bagel/answer.js';
import { THINK_PROMPTS } from '../models/bagel/contexts.js';
import { info } from './log.js';
import { withProfiledModel } from './model.js';
import { addDraftOption, addModelOptions, collect, defined, integer, type ModelFlags, real } from './options.js';
import { type ProfileFlags, profileText } from './profiling.js';
import { Progress } from './progress.js';
import { roundText } from './trace.js';

interface AskFlags extends ModelFlags, ProfileFlags {
  image?: string[];
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  maxTokens?: number;
  seed?: number;
  stop?: string[];
  think?: true;
  repetitionPenalty?: number;
  speculate: (typeof DRAFTERS)[number];
  treeNodes?: number;
  trace?: true;
}

const DRAFTERS = ['off', 'ngram', 'eagle', 'eagle,ngram', 'auto'] as const;

/** Adds the command to the program, or to another command. */
export function register(parent: Command): Command {
  const command = parent
    .command('ask')
    .description('answer a question about images, or about none; the answer streams to stdout')
    .argument('<text>', 'the question')
    .option('-i, --image <file>', 'an image to ask about; may be given several times', collect)
    .option('--temperature <t>', 'randomness of the answer; 0 always takes the likeliest token (default: 0)', real(0))
    .option('--top-k <n>', 'sample among the n likeliest tokens (default: all)', integer(1))
    .option('--top-p <p>', 'sample among the likeliest tokens that hold this probability (default: all)', real(0, 1))
    .option('--min-p <p>', 'drop tokens below this share of the likeliest one (default: none)', real(0, 1))
    .option('--max-tokens <n>', 'longest answer in tokens (default: 512)', integer(1))
    .option('--seed <n>', 'seed of the sampling (default: a random one, which is reported)', integer(0))
    .option('--stop <text>', 'end the answer before this text; may be given several times', collect)
    .option(
      '--repetition-penalty <p>',
      'above 1: tokens of the answer become less likely to come again',
      real(0.01, 100),
    )
    .addOption(
      new Option('--speculate <drafter>', 'where drafts come from; the answer is the same')
        .choices(DRAFTERS)
        .default('auto'),
    )
    .option('--tree-nodes <n>', 'nodes of a draft tree, the root included (default: by measured cost)', integer(1, 128))
    .option('--trace', 'print the draft tree of each round to stderr, accepted nodes marked with *')
    .option('--think', 'let the model think before it answers');
  return addModelOptions(addDraftOption(command)).action(run);
}

async function run(text: string, flags: AskFlags): Promise<void> {
  const { result: answer, profile } = await withProfiledModel(
    flags,
    `ask ${text}`,
    (bagel, signal) => ask(bagel, text, flags, signal),
    (bagel) => (flags.speculate === 'off' || flags.treeNodes !== undefined ? undefined : bagel.calibrate()),
  );
  if (flags.json) {
    process.stdout.write(`${JSON.stringify({ ...answer, profile })}\n`);
    return;
  }
  process.stdout.write(flags.trace ? `${answer.text}\n` : '\n');
  const { stats, timings, seed, finishReason } = answer;
  info(
    `${stats.tokens} tokens in ${stats.steps} steps (${finishReason}), ${answer.promptTokens} of prompt in ${timings.promptMs.toFixed(0)} ms, ` +
      `${stats.tokensPerSecond.toFixed(1)} tokens/s, seed ${seed}`,
  );
  const { drafter, rounds, drafted, accepted, meanAcceptedWithBonus, draftMs, speedup, note } = stats.speculation;
  if (drafter !== 'off') {
    info(
      `${drafter}: ${rounds} rounds, ${accepted} of ${drafted} drafted tokens accepted, ` +
        `${meanAcceptedWithBonus.toFixed(2)} tokens per step, ${percent(draftMs / timings.answerMs)} of the time in drafting` +
        `${speedup === undefined ? '' : `, ${speedup.toFixed(2)} times a plain step`}${note === undefined ? '' : `; ${note}`}`,
    );
  }
  if (profile) process.stdout.write(`\n${profileText(profile)}`);
}

const percent = (share: number) => `${(100 * share).toFixed(0)}%`;

/** Asks, and streams the answer to stdout unless one JSON object is wanted. */
async function ask(bagel: Bagel, text: string, flags: AskFlags, signal: AbortSignal): Promise<Answer> {
  const { temperature, topK, topP, minP, repetitionPenalty, maxTokens, seed, stop, speculate, treeNodes } = flags;
  const spell = (id: number) => JSON.stringify(bagel.model.tokenizer?.decode([id]) || `<${id}>`);
  const onRound = flags.trace && ((round: RoundReport) => info(roundText(round, spell)));
  const options = {
    ...defined({ temperature, topK, topP, minP, repetitionPenalty, maxTokens, seed, stop, treeNodes, onRound }),
    speculate: speculate === 'eagle,ngram' ? (['eagle', 'ngram'] as const) : speculate,
    signal,
  };
  const progress = new Progress('answering');
  using session = bagel.session();
  try {
    if (flags.think) await session.addText(THINK_PROMPTS.understanding, { signal });
    for (const image of flags.image ?? []) await session.addImage(image, { signal });
    await session.addText(text, { signal });
    const stream = session.answer(options);
    for await (const piece of stream) {
      if (flags.json || flags.trace) continue; // a trace and a stream would mix on a terminal
      progress.stop();
      process.stdout.write(piece.text);
    }
    return await stream.result;
  } finally {
    progress.stop();
  }
}
