import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseImage, type Scene } from '../../lib/eval/world/index.js';
import { decodeImage } from '../../lib/io/image.js';
import { readConfig } from '../../lib/models/bagel/config.js';
import { writeRandomHead } from '../speculative/eagle-kit.js';
import { cli, start, temporaryFolder } from './kit.js';

const folder = temporaryFolder();
const inFolder = (name: string) => path.join(folder, name);
const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
const json = (text: string) => JSON.parse(text) as Record<string, unknown>;
/** Warnings and errors only: without it, work of over a second leaves a line on stderr. */
const QUIET = { HYPER_BAGEL_LOG: 'warn' };
const SCENE = 'examples/scene.png';
const GOLDEN = 'test/golden/trained';
const meanDifference = (a: Uint8Array, b: Uint8Array) =>
  a.reduce((sum, value, i) => sum + Math.abs(value - (b[i] ?? Number.NaN)), 0) / a.length;

describe('ask', () => {
  const question = 'describe the image.';
  const golden = JSON.parse(readFileSync(`${GOLDEN}/vqa_0.json`, 'utf8')) as {
    text: string;
    next_ids: number[];
    kv_lens: number[];
  };

  test('streams the answer to stdout, a summary to stderr', async () => {
    const args = ['ask', question, '--image', SCENE, '--max-tokens', String(golden.next_ids.length)];
    const { status, stdout, stderr } = await cli(args);
    expect(status).toBe(0);
    expect(stdout).toBe(`${golden.text}\n`);
    expect(stderr).toMatch(/\d+ tokens .*tokens\/s, seed \d+/);
  });

  test('--json prints one object, with the tokens of the public implementation', async () => {
    const args = [
      'ask',
      question,
      '--image',
      SCENE,
      '--max-tokens',
      String(golden.next_ids.length),
      '--json',
      '--seed',
      '5',
    ];
    const { status, stdout, stderr } = await cli(args, QUIET);
    expect(status).toBe(0);
    expect(stderr).toBe('');
    expect(stdout.trimEnd().split('\n')).toHaveLength(1);
    const answer = json(stdout);
    expect(answer).toEqual({
      text: golden.text,
      tokens: golden.next_ids,
      promptTokens: golden.kv_lens[0],
      finishReason: 'length',
      seed: 5,
      timings: { promptMs: expect.any(Number), answerMs: expect.any(Number) },
      stats: {
        tokens: golden.next_ids.length,
        steps: expect.any(Number),
        tokensPerSecond: expect.any(Number),
        speculation: expect.objectContaining({ drafter: expect.any(String), meanAccepted: expect.any(Number) }),
      },
    });
  });

  test('stop strings, sampling options and a seed reach the model', async () => {
    const stopped = json((await cli(['ask', question, '-i', SCENE, '--json', '--stop', ' on a'])).stdout);
    expect(stopped.finishReason).toBe('stop_string');
    expect(golden.text.startsWith(stopped.text as string)).toBe(true);
    expect(stopped.text).not.toContain(' on a');
    const sampled = ['ask', question, '-i', SCENE, '--json', '--max-tokens', '12', '--temperature', '5', '--seed'];
    const [a, b, c] = await Promise.all(
      ['1', '1', '2'].map(async (seed) => json((await cli([...sampled, seed])).stdout)),
    );
    expect(a?.tokens).toEqual(b?.tokens);
    expect(a?.tokens).not.toEqual(c?.tokens);
    const greedy = json((await cli([...sampled, '1', '--top-k', '1'])).stdout);
    expect(greedy.tokens).toEqual(golden.next_ids.slice(0, 12));
  });

  test('a draft head changes the statistics and nothing else', async () => {
    const draft = await writeRandomHead(inFolder('head'), (await readConfig('models/tiny')).llm);
    const args = ['ask', question, '-i', SCENE, '--max-tokens', '20', '--tree-nodes', '8', '--draft', draft];
    for (const [drafters, name] of [
      ['eagle', 'eagle'],
      ['eagle,ngram', 'eagle + ngram'],
    ] as const) {
      const answer = json((await cli([...args, '--speculate', drafters, '--json'])).stdout);
      expect(answer.tokens).toEqual(golden.next_ids.slice(0, 20));
      const { speculation } = answer.stats as { speculation: Record<string, number | string> };
      expect(speculation.drafter).toBe(name);
      expect(speculation.drafted).toBeGreaterThan(20);
      expect(speculation.draftMs).toBeGreaterThan(0);
    }
    const { stderr } = await cli([...args, '--speculate', 'eagle']);
    expect(stderr).toMatch(/eagle: \d+ rounds, \d+ of \d+ drafted .* \d+% of the time in drafting/);
  });

  test('a reader that leaves early ends it quietly', async () => {
    const { child, finished } = start(['ask', question, '-i', SCENE]);
    child.stdout.once('data', () => child.stdout.destroy());
    const { stderr } = await finished;
    expect(stderr).not.toContain('EPIPE');
  });
});

describe('draw and edit', () => {
  const prompt = 'create an image with a small orange square on the right on a white background';
  const noise = `${GOLDEN}/gen_t2i_1.safetensors`;

  test('--noise reproduces the picture of the public implementation, the same bytes each time', async () => {
    const draw = async (name: string) => {
      const out = inFolder(name);
      const result = await cli(['draw', prompt, '--noise', noise, '--steps', '49', '--out', out, '--json'], QUIET);
      expect(result.stderr).toBe('');
      expect(result.status).toBe(0);
      return { out, report: json(result.stdout) };
    };
    const first = await draw('a.png');
    expect(first.report).toEqual({
      out: first.out,
      width: 64,
      height: 64,
      steps: 49,
      nfe: 90,
      seed: expect.any(Number),
      timings: { contextMs: expect.any(Number), denoiseMs: expect.any(Number), decodeMs: expect.any(Number) },
      device: 'cpu',
      dtype: 'f32',
      context: { computed: expect.any(Number), reused: 0 },
      metadata: expect.objectContaining({ seed: null, givenNoise: true, nfe: { full: 49, noText: 41, noImage: 0 } }),
    });
    const second = await draw('b.png');
    expect(readFileSync(second.out).equals(readFileSync(first.out))).toBe(true);
    const got = await decodeImage(first.out);
    const wanted = await decodeImage(`${GOLDEN}/gen_t2i_1.png`);
    expect(meanDifference(got.data, wanted.data)).toBeLessThan(0.5);
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  test('without --json: the file name on stdout, size, steps and seed on stderr', async () => {
    const out = inFolder('plain.jpg');
    const { status, stdout, stderr } = await cli([
      'draw',
      prompt,
      '--steps',
      '2',
      '--seed',
      '7',
      '-o',
      out,
      '--size',
      '32x48',
    ]);
    expect(status).toBe(0);
    expect(stdout).toBe(`${out}\n`);
    expect(stderr).toMatch(/32x48, 2 steps, \d+ network evaluations, .* seed 7/);
    expect(await decodeImage(out)).toMatchObject({ width: 32, height: 48 });
  });

  test('guidance options reach the model: none is one evaluation a step', async () => {
    const args = ['draw', prompt, '--size', '32x32', '--steps', '3', '--seed', '1', '-o', inFolder('g.png'), '--json'];
    expect(json((await cli([...args, '--guidance', '1'])).stdout).nfe).toBe(3);
    expect(json((await cli([...args, '--interval', '0,1'])).stdout).nfe).toBe(6);
  });

  test('solver, grid and gamma reach the model', async () => {
    const args = [
      'draw',
      prompt,
      '--size',
      '32x32',
      '--seed',
      '1',
      '--guidance',
      '1',
      '-o',
      inFolder('s.png'),
      '--json',
    ];
    const draw = async (...more: string[]) => json((await cli([...args, ...more])).stdout);
    expect(await draw('--solver', 'heun', '--steps', '3')).toMatchObject({ steps: 3, nfe: 5 });
    expect(await draw('--grid', '1,0.8,0.3,0')).toMatchObject({ steps: 3, nfe: 3 });
    expect(await draw('--solver', 'tcd', '--gamma', '1', '--steps', '2')).toMatchObject({ steps: 2, nfe: 2 });
    expect(await draw('--solver', 'one-step')).toMatchObject({ steps: 1, nfe: 1 });
  });

  test('edit draws what the public implementation draws', async () => {
    const args = ['edit', 'examples/edit-source.png', 'add a large blue circle at the bottom left'];
    const out = inFolder('edit.png');
    const noiseFile = `${GOLDEN}/gen_edit_0.safetensors`;
    const { status, stdout } = await cli([...args, '--noise', noiseFile, '--steps', '49', '-o', out, '--json']);
    expect(status).toBe(0);
    expect(json(stdout)).toMatchObject({ out, steps: 49, nfe: 147, width: 64, height: 64 });
    const wanted = await decodeImage(`${GOLDEN}/gen_edit_0.png`);
    expect(meanDifference((await decodeImage(out)).data, wanted.data)).toBeLessThan(0.5);
  });

  test('Ctrl-C ends a drawing with 130 and leaves nothing behind', async () => {
    const out = inFolder('interrupted.png');
    const files = ['-o', out, '--trace-file', inFolder('i.json')];
    const { child, finished } = start(['profile', 'draw', prompt, '--steps', '1000', ...files, '--json']);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    child.kill('SIGINT');
    const { status, stdout, stderr } = await finished;
    expect(status).toBe(130);
    expect(stderr).toContain('interrupted');
    expect(json(stdout)).toMatchObject({ error: { code: 'CANCELLED' } });
    expect(existsSync(out)).toBe(false);
    expect(readdirSync(folder).filter((name) => /\.tmp$|^i\.json$/.test(name))).toEqual([]);
  });
});

describe('demo', () => {
  test('asks, draws and edits, and writes pictures and a report', async () => {
    const out = inFolder('demo');
    const { status, stdout } = await cli(['demo', '--out', out, '--json']);
    expect(status).toBe(0);
    const result = JSON.parse(stdout) as {
      report: string;
      pictures: string[];
      answers: { question: string; answer: string }[];
      tasks: { kind: string; steps: number; evaluations: number; seconds: number; tokensPerSecond?: number }[];
    };
    expect(result.tasks.map(({ kind }) => kind)).toEqual(['ask', 'ask', 'draw', 'draw', 'draw', 'edit', 'edit']);
    expect(result.tasks.reduce((sum, { seconds }) => sum + seconds, 0)).toBeLessThan(60);
    expect(result.answers.map(({ answer }) => answer)).toContain('four');
    expect(result.pictures).toHaveLength(5);
    const html = readFileSync(result.report, 'utf8');
    expect(html.match(/<img /g)).toHaveLength(2 + 3 + 4);
    expect(html.match(/<svg /g)).toHaveLength(3);
    expect(html).toContain('<text');
    // the first drawing shows what its prompt says, read back by the world's own parser
    const image = await decodeImage(result.pictures[0] ?? '');
    const scene: Scene = parseImage(image.data);
    expect(scene).toMatchObject({ objects: [{ cell: 3 }, { cell: 5 }] });
  });
});

describe('inspect and doctor', () => {
  test('inspect reads the configuration of a model of any size', async () => {
    const { status, stdout } = await cli(['inspect', '--config', 'test/configs/bagel-7b-mot', '--json']);
    expect(status).toBe(0);
    const { parameters, steps } = JSON.parse(stdout) as { parameters: { total: number }; steps: unknown[] };
    expect(parameters.total).toBe(14_691_079_811);
    expect(steps.length).toBeGreaterThan(5);
    const table = await cli(['inspect', '--gflops', '100', '--bandwidth', '10']);
    expect(table.stdout).toMatch(/decode, 1 row.* ms|ms\n/);
    expect((await cli(['inspect', '--config', 'examples'])).status).toBe(1);
    const model = inFolder('with-students');
    cpSync('test/configs/bagel-7b-mot', model, { recursive: true });
    for (const name of ['six', 'one', '.hidden']) mkdirSync(path.join(model, 'students', name), { recursive: true });
    expect((await cli(['inspect', '-m', model])).stdout).toContain('\nstudents: one, six\n');
  });

  test('doctor says what is there', async () => {
    const { status, stdout } = await cli(['doctor', '--json'], { HYPER_BAGEL_ISA: 'scalar', HYPER_BAGEL_THREADS: '1' });
    expect(status).toBe(0);
    expect(json(stdout)).toEqual({
      version: manifest.version,
      node: process.versions.node,
      addon: path.resolve('build/Release/hyper_bagel.node'),
      cpu: { isa: 'scalar', forced: true, threads: 1 },
      cuda: { available: expect.any(Boolean), reason: expect.any(String) },
    });
  });

  test('doctor works without the addon and says what to do', async () => {
    const env = { HYPER_BAGEL_ADDON_PATH: inFolder('absent.node') };
    const { status, stdout } = await cli(['doctor', '--json'], env);
    expect(status).toBe(0);
    expect(json(stdout)).toMatchObject({ addon: null, cpu: { isa: null, threads: null }, cuda: { available: false } });
    expect(json(stdout).problem).toContain('npx hyper-bagel build');
    expect((await cli(['doctor'], env)).stdout).toContain('npx hyper-bagel build');
  });
});
