// Steps that compare: primitives, ops, the bundled model, and the first two again under compute-sanitizer.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { SHORT_QUESTION_TYPES } from '../../lib/eval/world/index.js';
import type { Bagel } from '../../lib/models/bagel/bagel.js';
import { Context } from '../../lib/tensor/context.js';
import { type OpCase, type OpCases, seeded } from '../../test/kit/cases.js';
import { checkCase, checkLaw, flopsOf, LAWS, missingKernel, onDevice } from '../../test/kit/device-sweep.js';
import { answersOf, drawingDifference, goldenAnswer, openModel, PIXELS } from '../../test/kit/model-checks.js';
import { openSimt } from '../../test/kit/simt.js';
import { nothing, type Piece, type PieceResult, type Step, type Where } from './plan.js';

interface Ended {
  status: number | null;
  signal: string | null;
  output: string;
}

/** Runs a program to its end; stdout and stderr as one text. */
export function runProgram(command: string, args: readonly string[], cwd: string): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const add = (data: Buffer) => {
      output += data.toString();
    };
    child.stdout.on('data', add);
    child.stderr.on('data', add);
    child.on('error', reject);
    child.on('close', (status, signal) => resolve({ status, signal, output }));
  });
}

const conformanceBinary = (where: Where) => path.join(where.root, 'bin', 'conformance');
const tail = (text: string) => text.trimEnd().split('\n').slice(-12).join('\n');

/** The failed tests in the output of the primitives' test program; what it did otherwise counts as failure too. */
export function conformanceResult({ status, signal, output }: Ended): PieceResult {
  const lines = output.split('\n');
  const passed = lines.filter((line) => line.startsWith('ok ')).length;
  const failures = lines.filter((line) => line.startsWith('not ok '));
  if (failures.length === 0 && status !== 0) failures.push(`it ended with ${signal ?? status}: ${tail(output)}`);
  if (failures.length === 0 && passed === 0) failures.push('no test ran');
  return { failures, figures: { passed } };
}

export const conformance: Step = {
  name: 'conformance',
  about: 'tests of the primitives',
  open: async (where) => ({
    pieces: [
      {
        name: 'primitives',
        limit: 120,
        run: async () => conformanceResult(await runProgram(conformanceBinary(where), where.words, where.root)),
      },
    ],
    close: nothing,
  }),
};

/** Two contexts: of a card two streams, of the emulator two schedules. */
async function openPair(where: Where): Promise<[Context, Context]> {
  if (where.device === 'simt') return [await openSimt(0), await openSimt(1)];
  return [await Context.create({ device: where.device }), await Context.create({ device: where.device })];
}

/** All chosen cases of an op in both contexts: the oracle's values, and the same bits twice. */
async function sweepOp(
  pair: readonly [Context, Context],
  given: OpCases,
  chosen: readonly OpCase[],
  laws: boolean,
): Promise<PieceResult> {
  const [first, second] = pair;
  const reason = missingKernel(first, given);
  if (reason !== null) return { failures: [], skipped: reason };
  const cases = onDevice(given);
  const runners = [
    { name: 'first run', cx: first },
    { name: 'second run', cx: second },
  ];
  const failures: string[] = [];
  let worst = 0;
  for (const c of chosen) {
    const verdict = await checkCase(runners, cases, c);
    worst = Math.max(worst, verdict.worst);
    failures.push(...verdict.complaints.map((text) => `${c.name}: ${text}`));
  }
  for (const law of laws ? LAWS.filter(({ applies }) => applies(cases)) : []) {
    const { complaints, checked } = await checkLaw(law, second, first, cases);
    failures.push(...complaints.map((text) => `${law.name}: ${text}`));
    if (checked === 0) failures.push(`${law.name}: no case was checked`);
  }
  return { failures, figures: { cases: chosen.length, worstInTolerances: worst } };
}

/** The emulator computes a few million products a second. */
const MOST_EMULATED_FLOPS = 1e6;

/** The cases without those that are too large for the emulator. */
async function withoutLarge(op: string, chosen: readonly OpCase[]): Promise<OpCase[]> {
  const cpu = await Context.create({ device: 'cpu', threads: 1 });
  const kept: OpCase[] = [];
  for (const c of chosen) {
    if ((await flopsOf(cpu, op, c.build(seeded(7)))) <= MOST_EMULATED_FLOPS) kept.push(c);
  }
  await cpu.dispose();
  return kept;
}

/** A sweep over the cases of a kind, an op a piece. */
function sweepStep(name: string, about: string, choose: (c: OpCase) => boolean, laws: boolean): Step {
  return {
    name,
    about,
    async open(where) {
      const pair = await openPair(where);
      const pieceOf = (cases: OpCases): Piece => ({
        name: cases.op,
        limit: 180,
        async run() {
          const chosen = cases.cases.filter(choose);
          const kept = where.small ? await withoutLarge(cases.op, chosen) : chosen;
          if (kept.length > 0) return sweepOp(pair, cases, kept, laws);
          return { failures: [], skipped: chosen.length === 0 ? 'it has no such cases' : 'too large for the emulator' };
        },
      });
      return {
        pieces: where.ops.map(pieceOf),
        async close() {
          for (const cx of pair) await cx.dispose();
        },
      };
    },
  };
}

const isPerf = ({ tags }: OpCase) => tags.includes('perf');
const isSmall = ({ tags }: OpCase) => tags.includes('small');
export const sweep = sweepStep('sweep', 'every op on its small and edge cases, and law 1', (c) => !isPerf(c), true);
export const sweepLarge = sweepStep('sweep-large', "every op on the bench's cases", isPerf, false);
/** What compute-sanitizer watches: an instrumented kernel takes a hundred times longer. */
export const sweepSmall = sweepStep('sweep-small', 'every op on its small cases', isSmall, false);

export const goldens: Step = {
  name: 'goldens',
  about: 'the bundled model from end to end',
  async open(where) {
    const open = new Map<string, Bagel>();
    const model = async (device: 'cpu' | 'simt' | 'cuda', dtype: 'f32' | 'bf16') => {
      const key = `${device} ${dtype}`;
      const bagel = open.get(key) ?? (await openModel(device, dtype));
      open.set(key, bagel);
      return bagel;
    };
    const same = (what: string, got: readonly number[], want: readonly number[]): PieceResult => {
      const at = want.findIndex((token, i) => token !== got[i]);
      const equal = at < 0 && got.length === want.length;
      return {
        failures: equal ? [] : [`${what}: token ${at} of [${got}] is not that of [${want}]`],
        figures: { tokens: want.length },
      };
    };
    const drawing = (dtype: 'f32' | 'bf16', steps: number, guidance: number): Piece => ({
      name: `a drawing of ${steps} ${guidance > 1 ? 'guided' : 'unguided'} steps, ${dtype}`,
      limit: 180,
      async run() {
        const difference = await drawingDifference(await model(where.device, dtype), await model('cpu', dtype), {
          steps,
          guidance,
        });
        const most = PIXELS[dtype];
        const good = difference.mean < most.mean && difference.max <= most.max;
        return {
          failures: good ? [] : [`pixels differ by ${JSON.stringify(difference)}, allowed is ${JSON.stringify(most)}`],
          figures: difference,
        };
      },
    });
    const questions = where.small ? 1 : SHORT_QUESTION_TYPES.length;
    return {
      pieces: [
        {
          name: "the public implementation's tokens, f32",
          limit: 180,
          async run() {
            const { got, want } = await goldenAnswer(await model(where.device, 'f32'), where.small ? 3 : 40);
            return same('answer', got, want);
          },
        },
        ...SHORT_QUESTION_TYPES.slice(0, questions).map(
          (type): Piece => ({
            name: `speculation changes nothing: ${type}, bf16`,
            limit: 180,
            async run() {
              const { plain, drafted } = await answersOf(await model(where.device, 'bf16'), type);
              return same('with drafts', drafted, plain);
            },
          }),
        ),
        drawing('f32', 1, 4),
        ...(where.small ? [] : [drawing('f32', 6, 1), drawing('bf16', 6, 1)]),
      ],
      async close() {
        for (const bagel of open.values()) await bagel.dispose();
      },
    };
  },
};

/** compute-sanitizer, in the PATH or where the toolkit puts it. */
export function findSanitizer(): string | null {
  const folders = [
    ...(process.env.PATH ?? '').split(path.delimiter),
    '/usr/local/cuda/bin',
    '/usr/local/cuda/compute-sanitizer',
  ];
  return folders.map((folder) => path.join(folder, 'compute-sanitizer')).find((file) => existsSync(file)) ?? null;
}

const FOUND = 86; // an exit status that neither program has of its own

/** Ops that share a process: to start one under the tool takes long. */
const GROUP = 8;

export const sanitizer: Step = {
  name: 'sanitizer',
  about: 'primitives and small cases under compute-sanitizer',
  async open(where) {
    const tool = findSanitizer();
    if (!tool) {
      const run = async () => ({ failures: [], skipped: 'compute-sanitizer was not found' });
      return { pieces: [{ name: 'all', limit: 1, run }], close: nothing };
    }
    const piece = (kind: 'memcheck' | 'racecheck', what: string, command: readonly string[]): Piece => ({
      name: `${kind}: ${what}`,
      limit: 400,
      async run() {
        const options = ['--tool', kind, '--target-processes', 'all', '--error-exitcode', `${FOUND}`];
        const { status, signal, output } = await runProgram(tool, [...options, ...command], where.root);
        const report = output.split('\n').filter((line) => line.startsWith('====='));
        const summary = report.filter((line) => line.includes('SUMMARY')).join('; ');
        if (status === 0) return { failures: [], figures: { summary } };
        const told = report.length > 0 ? report.slice(0, 40) : [tail(output)];
        return { failures: [`it ended with ${signal ?? status}`, ...told] };
      },
    });
    const ops = where.ops.map(({ op }) => op);
    const groups = Array.from({ length: Math.ceil(ops.length / GROUP) }, (_, i) =>
      ops.slice(i * GROUP, (i + 1) * GROUP).join(','),
    );
    const self = [process.execPath, process.argv[1] as string, '--device', where.device, '--check-small'];
    return {
      pieces: (['memcheck', 'racecheck'] as const).flatMap((kind) => [
        piece(kind, 'primitives', [conformanceBinary(where), ...where.words]),
        ...groups.map((group) => piece(kind, group, [...self, group])),
      ]),
      close: nothing,
    };
  },
};
