// The step that times a model of random weights: decoding and rounds after short and long contexts, denoising, decoding of pictures.
import { Bagel } from '../../lib/models/bagel/bagel.js';
import { summarize } from '../../lib/profile/report.js';
import { costOf } from '../arithmetic.js';
import { denoiseRunner, type Runner } from '../denoise.js';
import { time } from '../harness.js';
import { type RoundRow, roundRows } from '../rounds.js';
import { decodePicture, decodeRunner, profileOf } from '../steps.js';
import { type Peaks, peaksOf } from './card.js';
import type { Piece, PieceResult, Row, Step, Where } from './plan.js';
import { SEVEN_B, SMALL } from './shapes.js';
import { limitsOf, rowOf } from './timing.js';

/** Ops that a step's time is told by. */
const TOLD = 6;

/** The longest ops of a profile and their shares. */
function shares(events: Parameters<typeof summarize>[0]): string {
  return summarize(events)
    .rows.slice(0, TOLD)
    .map(({ name, share }) => `${name} ${(100 * share).toFixed(1)}%`)
    .join(', ');
}

async function timeRunner(
  bagel: Bagel,
  card: Peaks | null,
  where: Where,
  what: { name: string; case: string; tensorCores: boolean },
  make: () => Runner | Promise<Runner>,
): Promise<PieceResult> {
  const runner = await make();
  try {
    await runner.run();
    const samples = await time(what.name, () => runner.run(), limitsOf(where));
    const events = await profileOf(bagel.model, runner);
    const { flops, bytes } = costOf(events);
    const cost = { flops: flops / runner.steps, bytes: bytes / runner.steps };
    const { tensorCores, ...name } = what;
    const row = rowOf(
      { kind: 'step', ...name, about: runner.about },
      samples.map((s) => s / runner.steps),
      cost,
      card,
      tensorCores,
    );
    return { failures: [], rows: [row], figures: { timeInOps: shares(events) } };
  } finally {
    runner.dispose();
  }
}

async function timeRounds(bagel: Bagel, card: Peaks | null, where: Where, context: number): Promise<PieceResult> {
  const sizes = where.small ? [1, 5] : [1, 16, 64, 128];
  const found: RoundRow[] = await roundRows(bagel.model, where.small ? 1 : 9, { context, sizes });
  const figures: Record<string, number> = {};
  const rows = found.map(({ nodes, seconds, opSeconds, bookkeeping, tokens, cost }): Row => {
    figures[`${nodes} nodes: us in ops`] = opSeconds * 1e6;
    figures[`${nodes} nodes: share of build, verify, commit, emit`] = bookkeeping;
    const what = { kind: 'step', name: 'round', case: `${nodes} nodes, ${context} tokens before them` } as const;
    return rowOf({ ...what, about: `${tokens} tokens` }, [seconds], cost, card, true);
  });
  return { failures: [], rows, figures };
}

/** Room for two long contexts of an edit, their latents, and what decodes. */
const CACHE_TOKENS = 49152;

export const model: Step = {
  name: 'model',
  about: 'a model of random weights in bf16: decode steps, rounds, denoise steps, decoding of a picture',
  async open(where) {
    const config = where.small ? SMALL : SEVEN_B;
    const contexts = where.small ? [16] : [1024, 8192];
    let bagel: Bagel | undefined;
    // made by the first piece, which may be the one that fails
    const made = async () => {
      bagel ??= await Bagel.random(config, {
        device: where.device,
        dtype: 'bf16',
        seed: 1,
        cacheTokens: where.small ? 1024 : CACHE_TOKENS,
      });
      return bagel;
    };
    const timed = (
      what: { name: string; case: string; tensorCores: boolean },
      make: (b: Bagel) => Runner | Promise<Runner>,
    ): Piece => ({
      name: `${what.name}, ${what.case}`,
      limit: 240,
      async run() {
        const b = await made();
        return timeRunner(b, peaksOf(b.context.card), where, what, () => make(b));
      },
    });
    const size = `${config.imageSize} x ${config.imageSize}`;
    const steps = where.small ? 1 : 4;
    const pieces: Piece[] = [
      ...contexts.flatMap((context) => [
        timed({ name: 'decode_step', case: `${context} tokens before it`, tensorCores: true }, (b) =>
          decodeRunner(b.model, 1, context),
        ),
        {
          name: `round, ${context} tokens before it`,
          limit: 240,
          async run() {
            const b = await made();
            return timeRounds(b, peaksOf(b.context.card), where, context);
          },
        },
      ]),
      timed({ name: 'denoise_step', case: `${size}, 1 branch`, tensorCores: true }, (b) =>
        denoiseRunner(b.model, { kind: 'draw', steps: 50, run: steps, guided: false }),
      ),
      timed({ name: 'denoise_step', case: `${size}, 3 branches`, tensorCores: true }, (b) =>
        denoiseRunner(b.model, { kind: 'edit', steps: 50, run: steps, guided: true }),
      ),
      timed({ name: 'vae_decode', case: size, tensorCores: false }, (b) => decodePicture(b.model)),
    ];
    return {
      pieces,
      async close() {
        await bagel?.dispose();
      },
    };
  },
};
