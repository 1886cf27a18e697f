import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { decodeImage } from '../../lib/io/image.js';
import { writeSafetensors } from '../../lib/io/safetensors.js';
import { cli, start, temporaryFolder } from './kit.js';

const folder = temporaryFolder();
const inFolder = (name: string) => path.join(folder, name);
const json = (text: string) => JSON.parse(text) as Record<string, unknown>;
const GOLDEN = 'test/golden/eval';
const FEW = ['--shapes', '2', '--edits', '1', '--vqa', '3'];

test('scores of every suite, the report, and agreement with a recorded evaluation', async () => {
  const args = ['eval', ...FEW, '--steps', '49', '--noise', GOLDEN, '--compare', GOLDEN, '-o', inFolder('plain')];
  const { status, stdout } = await cli(args);
  expect(status).toBe(0);
  expect(stdout).toMatch(/^ShapeEval +single +two /m);
  expect(stdout).toMatch(/^euler:49 +success /m);
  expect(stdout).toMatch(/^mean of the short types +\d\.\d{3} +\d\.\d{3}$/m);
  expect(stdout).toMatch(/^shapes +2 +2 +2 +1\.000$/m);
  expect(stdout).toMatch(/^edits +1 +1 +1 +1\.000$/m);
  expect(stdout).toMatch(/^vqa +3 +3 +3 +1\.000$/m);
  expect(readFileSync(inFolder('plain/report.html'), 'utf8')).toContain('recorded');
  const lines = readFileSync(inFolder('plain/vqa.jsonl'), 'utf8').trimEnd().split('\n').slice(1);
  const recorded = readFileSync(`${GOLDEN}/vqa.jsonl`, 'utf8').trimEnd().split('\n');
  for (const line of lines) expect(recorded).toContain(line);
});

test('methods beside the teacher and the undistilled model at as many steps', async () => {
  const args = ['eval', '--only', 'shapes,edits', '--shapes', '2', '--edits', '1', '--diversity', '1'];
  const methodArgs = ['--method', 'heun:2:guided', '--method', 'euler:3:unguided'];
  const { status, stdout } = await cli([...args, ...methodArgs, '-o', inFolder('stick')]);
  expect(status).toBe(0);
  expect(stdout).toMatch(/^method +NFE +ms /m);
  expect(stdout).toContain('* the undistilled model');
  const { teacher, methods, files } = json(readFileSync(inFolder('stick/results.json'), 'utf8')) as {
    teacher: string;
    methods: {
      method: string;
      isReference: boolean;
      shapes: { cost: { nfe: number; steps: number }; nearness?: { psnr: number; latents: number } };
      edits: { nearness?: { psnr: number } };
    }[];
    files: string[];
  };
  expect(teacher).toBe('euler:50');
  expect(methods.map(({ method, isReference }) => [method, isReference])).toEqual([
    ['euler:50', false],
    ['heun:2:guided', false],
    ['euler:2:guided', true],
    ['euler:3:unguided', false],
    ['euler:3', true],
  ]);
  // Heun's two steps are three evaluations; three Euler steps at t = 1, 0.857 and 0.6 are all guided
  expect(methods.map(({ shapes }) => shapes.cost.nfe)).toEqual([91, 6, 4, 3, 6]);
  const [first, ...others] = methods;
  expect(first?.shapes).not.toHaveProperty('nearness');
  expect(first?.shapes).toMatchObject({ distribution: { pictures: 2, diversity: expect.any(Number) } });
  for (const { shapes, edits } of others) {
    expect(shapes.nearness?.psnr).toBeGreaterThan(10);
    expect(shapes.nearness?.latents).toBeGreaterThan(0.01);
    expect(shapes.nearness?.latents).toBeLessThan(1);
    expect(edits.nearness?.psnr).toBeGreaterThan(10);
  }
  const svg = readFileSync(inFolder('stick/quality.svg'), 'utf8');
  expect(svg).toContain('PSNR to the teacher');
  expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  const sheet = await decodeImage(inFolder('stick/sheet.png'));
  expect(sheet.width).toBeGreaterThan(2 * 64);
  expect(sheet.height).toBeGreaterThan(5 * 64);
  for (const file of files) expect(existsSync(file)).toBe(true);
});

test('Ctrl-C leaves the finished items, and the same command goes on', async () => {
  const args = [
    'eval',
    '--only',
    'shapes',
    '--shapes',
    '20',
    '--batch',
    '4',
    '--steps',
    '6',
    '-o',
    inFolder('stopped'),
  ];
  const file = inFolder('stopped/euler-6/shapes.jsonl');
  const count = () => (existsSync(file) ? readFileSync(file, 'utf8').split('\n').length - 2 : -1);
  const { child, finished } = start([...args, '--json']);
  while (count() < 3 && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 20));
  child.kill('SIGINT');
  const { status, stdout, stderr } = await finished;
  expect(status).toBe(130);
  expect(json(stdout)).toMatchObject({ error: { code: 'CANCELLED' } });
  expect(stderr).toContain('goes on from there');
  const done = count();
  expect(done).toBeGreaterThanOrEqual(3);
  expect(done).toBeLessThan(20);
  expect(existsSync(inFolder('stopped/report.html'))).toBe(false);
  const whole = await cli([...args, '--json']);
  expect(whole.status).toBe(0);
  expect(count()).toBe(20);
  expect(whole.stdout.trimEnd()).toBe(readFileSync(inFolder('stopped/results.json'), 'utf8').trimEnd());
  // the same again takes what is there
  const again = await cli(args);
  expect(again.stdout).toMatch(/^ShapeEval +single +two /m);
  expect(again.stderr).not.toContain('drawings by');
});

describe('bad input', () => {
  beforeAll(async () => {
    mkdirSync(inFolder('noise'));
    const noise = { dtype: 'F32' as const, shape: [2, 64, 16], data: new Float32Array(2 * 64 * 16).fill(0.5) };
    await writeSafetensors(inFolder('noise/noise_shapes.safetensors'), { noise });
    mkdirSync(inFolder('narrow'));
    await writeSafetensors(inFolder('narrow/noise_shapes.safetensors'), {
      noise: { ...noise, shape: [4, 64, 8] },
    });
    mkdirSync(inFolder('recorded'));
    writeFileSync(inFolder('recorded/shapes.jsonl'), '{"category":"single"}\n');
    mkdirSync(inFolder('damaged/euler-2'), { recursive: true });
    writeFileSync(inFolder('damaged/euler-2/shapes.jsonl'), 'not ours\n');
    await cli(['eval', ...one, '--steps', '1', '-o', inFolder('other')]);
    await cli(['eval', ...one, '--steps', '2', '--dtype', 'bf16', '-o', inFolder('bf16')]);
  });

  const one = ['--only', 'shapes', '--shapes', '2'];
  const CASES: [name: string, args: () => string[], code: string, status: number][] = [
    ['an unknown suite', () => ['--only', 'shapes,sounds'], 'BAD_OPTION', 2],
    ['no steps', () => ['--steps', '0'], 'BAD_OPTION', 2],
    ['an unknown solver', () => ['--method', 'rk4:6'], 'BAD_OPTION', 2],
    ['steps beside methods', () => ['--method', 'euler:6', '--steps', '6'], 'BAD_OPTION', 2],
    ['a recorded evaluation beside methods', () => ['--method', 'euler:6', '--compare', GOLDEN], 'BAD_OPTION', 2],
    ['a student that is not there', () => [...one, '--method', 'student=absent:2'], 'BAD_OPTION', 2],
    ['noises that are not there', () => [...one, '--noise', inFolder('absent')], 'IO', 1],
    ['noises too few', () => ['--only', 'shapes', '--shapes', '21', '--noise', inFolder('noise')], 'BAD_OPTION', 2],
    ['noises of other channels', () => [...one, '--noise', inFolder('narrow')], 'BAD_SHAPE', 1],
    ['a recorded evaluation that is not there', () => [...one, '--compare', inFolder('absent')], 'IO', 1],
    ['a recorded evaluation that is none', () => [...one, '--compare', inFolder('recorded')], 'IO', 1],
    ['a model that is not there', () => ['--model', inFolder('absent')], 'BAD_MODEL', 1],
    ['an output folder that is a file', () => ['--out', 'README.md'], 'IO', 1],
    ['a folder of damaged results', () => [...one, '--steps', '2', '--out', inFolder('damaged')], 'IO', 1],
    ['results of another dtype', () => [...one, '--steps', '2', '--out', inFolder('bf16')], 'BAD_OPTION', 2],
    [
      'results from other noise',
      () => [...one, '--steps', '1', '--noise', GOLDEN, '--out', inFolder('other')],
      'BAD_OPTION',
      2,
    ],
  ];

  test.for(CASES)('%s', async ([, args, code, status]) => {
    const given = args();
    const out = given.includes('--out') ? [] : ['--out', inFolder('never')];
    const result = await cli(['eval', ...given, ...out, '--json']);
    expect(result.stderr).toContain(`(${code})`);
    expect(result.status).toBe(status);
    expect(result.stderr).not.toContain('    at '); // a stack
    expect(json(result.stdout)).toMatchObject({ error: { code } });
    expect(existsSync(inFolder('never/report.html'))).toBe(false);
  });

  test('--restart drops results with other settings', async () => {
    const args = ['eval', ...one, '--steps', '1', '--dtype', 'bf16', '-o', inFolder('other')];
    expect((await cli(args)).status).toBe(2);
    expect((await cli([...args, '--restart'])).status).toBe(0);
    expect((await cli(args)).status).toBe(0);
  });
});
