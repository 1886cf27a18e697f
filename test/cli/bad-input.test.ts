import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { writeSafetensors } from '../../lib/io/safetensors.js';
import { cli, temporaryFolder } from './kit.js';

const folder = temporaryFolder();
const inFolder = (name: string) => path.join(folder, name);
const SCENE = 'examples/scene.png';

/** A copy of the bundled model without some files, or with one file replaced. */
function modelWith(name: string, files: readonly string[], content?: Uint8Array): string {
  const target = inFolder(name);
  mkdirSync(target);
  for (const each of readdirSync('models/tiny')) {
    if (!files.includes(each)) copyFileSync(path.join('models/tiny', each), path.join(target, each));
  }
  if (content) writeFileSync(path.join(target, files[0] as string), content);
  return target;
}

beforeAll(async () => {
  mkdirSync(inFolder('folder.png'));
  writeFileSync(inFolder('text.png'), 'this is no picture');
  const png = readFileSync(SCENE);
  writeFileSync(inFolder('truncated.png'), png.subarray(0, Math.floor(png.length / 2)));
  const noise = (tokens: number, channels: number, value = 0) => ({
    dtype: 'F32' as const,
    shape: [tokens, channels],
    data: new Float32Array(tokens * channels).fill(value),
  });
  const bad = noise(64, 16);
  bad.data[100] = Number.NaN;
  await writeSafetensors(inFolder('nan.safetensors'), { noise: bad });
  await writeSafetensors(inFolder('short.safetensors'), { noise: noise(63, 16) });
  await writeSafetensors(inFolder('narrow.safetensors'), { noise: noise(128, 8) });
  modelWith('no-tokenizer', ['tokenizer.json', 'vocab.json', 'merges.txt']);
  const weights = readFileSync('models/tiny/ema.safetensors');
  modelWith('truncated', ['ema.safetensors'], weights.subarray(0, weights.length - 1000));
});

const BAD_USAGE = 2;
const FAILED = 1;
const draw = (...args: string[]) => ['draw', 'a large red circle in the center', '--steps', '1', ...args];

const CASES: [name: string, args: () => string[], code: string, status: number][] = [
  ['not an image', () => ['ask', 'what?', '--image', inFolder('text.png')], 'BAD_IMAGE', FAILED],
  ['a truncated PNG', () => ['ask', 'what?', '--image', inFolder('truncated.png')], 'BAD_IMAGE', FAILED],
  [
    'a truncated PNG to edit',
    () => ['edit', inFolder('truncated.png'), 'x', '-o', inFolder('o.png')],
    'BAD_IMAGE',
    FAILED,
  ],
  ['an image that is not there', () => ['ask', 'what?', '--image', inFolder('absent.png')], 'IO', FAILED],
  ['an empty question', () => ['ask', ''], 'BAD_OPTION', BAD_USAGE],
  ['an empty prompt', () => ['draw', '', '-o', inFolder('o.png')], 'BAD_OPTION', BAD_USAGE],
  ['an empty instruction', () => ['edit', SCENE, '', '-o', inFolder('o.png')], 'BAD_OPTION', BAD_USAGE],
  ['a prompt past the context limit', () => ['ask', 'a red circle '.repeat(2000)], 'CONTEXT_FULL', FAILED],
  ['a size off the stride', () => draw('--size', '60x64'), 'BAD_OPTION', BAD_USAGE],
  ['a size above the table', () => draw('--size', '136x64'), 'BAD_OPTION', BAD_USAGE],
  ['a size that is none', () => draw('--size', '64'), 'BAD_OPTION', BAD_USAGE],
  ['zero steps', () => draw('--steps', '0'), 'BAD_OPTION', BAD_USAGE],
  ['negative steps', () => draw('--steps', '-3'), 'BAD_OPTION', BAD_USAGE],
  ['a grid that rises', () => ['draw', 'x', '--grid', '1,0.5,0.6,0'], 'BAD_OPTION', BAD_USAGE],
  ['a grid without an end', () => ['draw', 'x', '--grid', '1,0.5'], 'BAD_OPTION', BAD_USAGE],
  ['a student that is not there', () => draw('--student', 'swift'), 'BAD_OPTION', BAD_USAGE],
  ['a student that leads elsewhere', () => draw('--student', '../tiny'), 'BAD_OPTION', BAD_USAGE],
  ['an unknown solver', () => draw('--solver', 'magic'), 'BAD_OPTION', BAD_USAGE],
  ['gamma with a solver that takes none', () => draw('--gamma', '0.5'), 'BAD_OPTION', BAD_USAGE],
  ['more steps than a schedule holds', () => draw('--steps', '100000'), 'BAD_OPTION', BAD_USAGE],
  ['a temperature that is no number', () => ['ask', 'x', '--temperature', 'hot'], 'BAD_OPTION', BAD_USAGE],
  ['an unknown option', () => ['ask', 'x', '--fast'], 'BAD_OPTION', BAD_USAGE],
  ['a missing argument', () => ['edit', SCENE], 'BAD_OPTION', BAD_USAGE],
  ['an unknown dtype', () => draw('--dtype', 'f16'), 'BAD_OPTION', BAD_USAGE],
  ['no threads', () => draw('--threads', '0'), 'BAD_OPTION', BAD_USAGE],
  ['NaN in noise', () => draw('--noise', inFolder('nan.safetensors')), 'BAD_OPTION', BAD_USAGE],
  ['too little noise', () => draw('--noise', inFolder('short.safetensors')), 'BAD_OPTION', BAD_USAGE],
  ['noise of other channels', () => draw('--noise', inFolder('narrow.safetensors')), 'BAD_SHAPE', FAILED],
  ['noise that is no safetensors', () => draw('--noise', SCENE), 'BAD_MODEL', FAILED],
  ['a folder that is no model', () => draw('--model', 'examples'), 'BAD_MODEL', FAILED],
  ['a model that is not there', () => draw('--model', inFolder('absent')), 'BAD_MODEL', FAILED],
  ['a missing tokenizer', () => draw('--model', inFolder('no-tokenizer')), 'BAD_MODEL', FAILED],
  ['truncated weights', () => draw('--model', inFolder('truncated')), 'BAD_MODEL', FAILED],
  ['an output folder that is not there', () => draw('--out', inFolder('absent/o.png')), 'IO', FAILED],
  ['an output path that is a folder', () => draw('--out', inFolder('folder.png')), 'IO', FAILED],
  ['an output format that is none', () => draw('--out', inFolder('o.gif')), 'BAD_OPTION', BAD_USAGE],
  ['a trace that cannot be written', () => ['profile', 'ask', 'x', '--trace-file', inFolder('absent/p')], 'IO', FAILED],
  [
    'a flame chart that cannot be written',
    () => ['profile', 'ask', 'x', '--flame', inFolder('absent/f')],
    'IO',
    FAILED,
  ],
  ['no draft head to draft with', () => ['ask', 'what?', '--speculate', 'eagle'], 'NOT_SUPPORTED', FAILED],
  ['a draft head that is not there', () => ['ask', 'what?', '--draft', inFolder('absent')], 'BAD_MODEL', FAILED],
  ['a demo with no draft head there', () => ['demo', '-o', inFolder('o'), '--draft', 'examples'], 'BAD_MODEL', FAILED],
  ['a demo folder that is a file', () => ['demo', '--out', SCENE], 'IO', FAILED],
];

describe('bad input', () => {
  test.for(CASES)('%s', async ([, args, code, status]) => {
    const given = args();
    const out = inFolder('never.png');
    const withOut =
      given[0] === 'draw' && !given.includes('--out') && !given.includes('-o') ? [...given, '-o', out] : given;
    const result = await cli([...withOut, '--json']);
    expect(result.status).toBe(status);
    expect(result.stderr).toContain(`(${code})`);
    expect(result.stderr).not.toContain('    at '); // a stack
    const { error } = JSON.parse(result.stdout) as { error: { code: string; message: string } };
    expect(error.code).toBe(code);
    expect(error.message.length).toBeGreaterThan(10);
    expect(existsSync(out)).toBe(false);
  });

  test('an unknown log level is refused before any work', async () => {
    const result = await cli(['ask', 'what?'], { HYPER_BAGEL_LOG: 'loud' });
    expect(result).toMatchObject({ status: BAD_USAGE, stdout: '' });
    expect(result.stderr).toContain('HYPER_BAGEL_LOG');
  });

  test('without --json stdout stays empty', async () => {
    const result = await cli(['ask', 'what?', '--image', inFolder('text.png')], { HYPER_BAGEL_LOG: 'warn' });
    expect(result).toMatchObject({ status: FAILED, stdout: '' });
    expect(result.stderr).toMatch(/^hyper-bagel: .*text\.png.* \(BAD_IMAGE\)\n$/);
  });
});
