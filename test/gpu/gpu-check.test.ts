// scripts/gpu-check from the pack to the merged results, on the emulator: as on a card's machine, but for small shapes and few ops.
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { floorOn, peaksOf, slug } from '../../bench/gpu/card.js';
import { conformanceResult } from '../../bench/gpu/checks.js';
import { Journal } from '../../bench/gpu/journal.js';
import { usesTensorCores } from '../../bench/gpu/kernels.js';
import type { Row } from '../../bench/gpu/plan.js';
import { SEVEN_B } from '../../bench/gpu/shapes.js';
import { expectedTensors } from '../../lib/models/bagel/tensors.js';
import { fullTier } from '../kit/tier.js';

const full = fullTier(80, 'the steps goldens and sweep-large of gpu-check, and its own Node binary');

const temporary = mkdtempSync(path.join(os.tmpdir(), 'hyper-bagel-gpu-'));
const pack = path.join(temporary, 'pack');
afterAll(() => rmSync(temporary, { recursive: true }));

interface Merged {
  card: string;
  pack: { device: string; commit: string };
  steps: Record<string, { done: boolean; pieces: Record<string, { failures: string[]; skipped?: string }> }>;
  failures: string[];
  rows: Row[];
}

/** Runs the packed script, far from the checkout. */
function check(out: string, args: readonly string[], PATH = process.env.PATH) {
  const result = spawnSync(path.join(pack, 'gpu-check'), ['--out', out, ...args], {
    cwd: temporary,
    encoding: 'utf8',
    env: { PATH, HB_GPU_CHECK_WORK: path.join(temporary, 'work') },
  });
  const file = path.join(out, 'simt.json');
  const merged = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Merged) : undefined;
  return { status: result.status, stdout: result.stdout, stderr: result.stderr, merged };
}

const done = (stdout: string) =>
  stdout
    .split('\n')
    .filter((line) => line.startsWith('ok '))
    .map((line) => line.replace(/ \([\d.]+ s\)$/, ''));

describe('on the emulator', () => {
  beforeAll(() => {
    const args = ['scripts/gpu-pack.mjs', '--device', 'simt', '--to', pack, ...(full ? [] : ['--no-node'])];
    const packed = spawnSync(process.execPath, args, { encoding: 'utf8' });
    expect(packed.stderr).toMatch(/MiB to carry/);
    expect(packed.status).toBe(0);
  });

  const steps = `conformance,sweep,kernels,matrices,model${full ? ',goldens,sweep-large' : ''}`;
  const args = ['--only', steps, '--ops', 'increment,tree_build', '--words', 'warp'];
  const out = path.join(temporary, 'results');

  test('a call without time does nothing and says so; the next ones go on', { timeout: 300_000 }, () => {
    const first = check(out, [...args, '--minutes', '0.001']);
    expect(first.stderr).toBe('');
    expect(first.status).toBe(3);
    expect(first.stdout).toContain('call again');

    const second = check(out, args);
    expect(second.stderr).toBe('');
    expect(second.merged?.failures).toEqual([]);
    expect(second.status).toBe(0);
    const pieces = done(second.stdout);
    expect(pieces).toContain('ok conformance, primitives');
    expect(pieces).toContain('ok sweep, tree_build');
    expect(pieces).toContain('ok model, denoise_step, 16 x 16, 3 branches');
    const { card, rows, pack: from } = second.merged as Merged;
    expect({ card, device: from.device }).toEqual({ card: 'simt', device: 'simt' });
    expect(from.commit).toMatch(/^[0-9a-f]{12}\+?$|^unknown$/);
    const names = new Set(rows.map(({ name }) => name));
    expect([...names].sort()).toEqual([
      'decode_step',
      'denoise_step',
      'increment',
      'linear',
      'round',
      'tree_build',
      'vae_decode',
    ]);
    for (const row of rows) {
      expect(row.median).toBeGreaterThan(0);
      expect(row.bytes).toBeGreaterThan(0);
      expect(row.floor, 'the emulator has no published rates').toBeNull();
    }
    const evaluations = rows.filter(({ name }) => name === 'denoise_step').map(({ flops }) => flops);
    expect((evaluations[1] as number) / (evaluations[0] as number)).toBeGreaterThan(2.5);

    const third = check(out, args);
    expect(third.status).toBe(0);
    expect(done(third.stdout)).toEqual([]);
    expect(third.merged?.rows).toEqual(rows);
  });

  test('a piece that ended its process is a failure, the others run', { timeout: 60_000 }, () => {
    const crashed = path.join(temporary, 'crashed');
    mkdirSync(crashed);
    appendFileSync(path.join(crashed, 'sweep.jsonl'), '{"begin":"increment","limit":180,"at":0}\n{"end":"incr');
    const { status, stdout, merged } = check(crashed, ['--only', 'sweep', '--ops', 'increment,embedding']);
    expect(status).toBe(1);
    expect(done(stdout)).toEqual(['ok sweep, embedding']);
    expect(merged?.failures).toEqual(['sweep, increment: the call before ended during it']);
  });

  test('compute-sanitizer: what it is given, what it finds', { timeout: 60_000 }, () => {
    const bin = path.join(temporary, 'bin');
    mkdirSync(bin);
    const tool = path.join(bin, 'compute-sanitizer');
    const stub = (race: string) => `#!/bin/bash
tool=$2; shift 6
if [[ $tool == racecheck && $1 == *conformance ]]; then ${race}; fi
"$@" || exit $?
echo "========= ERROR SUMMARY: 0 errors"
`;
    const call = (name: string) =>
      check(
        path.join(temporary, name),
        ['--only', 'sanitizer', '--ops', 'increment,concat_rows', '--words', 'warp'],
        `${bin}:${process.env.PATH}`,
      );
    writeFileSync(tool, stub('true'));
    chmodSync(tool, 0o755);
    const clean = call('clean');
    expect(clean.status).toBe(0);
    // in the order of the contracts
    expect(done(clean.stdout).map((line) => line.split(', ').slice(1).join(', ').split(':')[0])).toEqual([
      'memcheck',
      'memcheck',
      'racecheck',
      'racecheck',
    ]);
    writeFileSync(tool, stub('echo "========= Error: a hazard"; exit 86'));
    const found = call('found');
    expect(found.status).toBe(1);
    expect(found.merged?.failures).toEqual([
      'sanitizer, racecheck: primitives: it ended with 86',
      'sanitizer, racecheck: primitives: ========= Error: a hazard',
    ]);
  });

  test('wrong usage', { timeout: 60_000 }, () => {
    for (const [given, text] of [
      [['--only', 'swep'], 'there is no step swep'],
      [['--fast'], "Unknown option '--fast'"],
    ] as const) {
      const { status, stderr } = check(out, given);
      expect(status).toBe(2);
      expect(stderr).toContain(text);
    }
    writeFileSync(path.join(out, 'machine.json'), '{"card":"other","pack":{}}');
    expect(check(out, []).stderr).toContain('holds results of another card');
    // a pack for the emulator has no kernels for a card
    const card = check(path.join(temporary, 'card'), ['--device', 'cuda']);
    expect(card.status).toBe(1);
    expect(card.stderr).toContain('hyper_bagel_cuda.so, is not there');
  });
});

describe('parts', () => {
  test("the 7B shape has the public checkpoint's parameters", () => {
    const parameters = {} as Record<string, number>;
    for (const { file, shape } of expectedTensors(SEVEN_B)) {
      parameters[file] = (parameters[file] ?? 0) + shape.reduce((product, n) => product * n, 1);
    }
    expect(parameters).toMatchObject({ ema: 14_607_260_128, ae: 83_819_683 });
  });

  test('a piece that is cut twice is too long for any call', () => {
    const journal = new Journal(temporary, 'cut');
    journal.add({ begin: 'a', limit: 9, at: Date.now() });
    journal.cut();
    expect(journal.done().size).toBe(0);
    journal.add({ begin: 'a', limit: 9, at: Date.now() });
    journal.cut();
    expect(journal.done().get('a')?.result.failures).toEqual(['the time of 2 calls ran out during it']);
    journal.cut();
    expect(journal.lines()).toHaveLength(4);
  });

  test('output of the test program of the primitives', () => {
    const result = (output: string, status: number | null, signal: string | null = null) =>
      conformanceResult({ output, status, signal });
    expect(result('ok a\nok b\n', 0)).toEqual({ failures: [], figures: { passed: 2 } });
    expect(result('ok a\nnot ok b: 1 is not 2\n', 1).failures).toEqual(['not ok b: 1 is not 2']);
    expect(result('ok a\n', null, 'SIGSEGV').failures).toEqual(['it ended with SIGSEGV: ok a']);
    expect(result('', 0).failures).toEqual(['no test ran']);
  });

  test("floors by the card's published rates", () => {
    const h100 = peaksOf('NVIDIA H100 80GB HBM3');
    expect(h100).toMatchObject({ bytes: 3.35e12, tensorFlops: 989.4e12 });
    expect(peaksOf('NVIDIA H100 PCIe')?.bytes).toBe(2e12);
    expect(peaksOf('NVIDIA A100-SXM4-40GB')?.bytes).toBe(1.555e12);
    expect(peaksOf('Some other card')).toBeNull();
    expect(floorOn(h100, { flops: 1e9, bytes: 3.35e9 }, true)).toEqual({ floor: 1e-3, bound: 'bytes' });
    const { floor, bound } = floorOn(h100, { flops: 66.9e9, bytes: 1 }, false);
    expect(bound).toBe('flops');
    expect(floor).toBeCloseTo(1e-3, 12);
    expect(floorOn(null, { flops: 1, bytes: 1 }, true)).toEqual({ floor: null, bound: null });
    expect(slug('NVIDIA H100 80GB HBM3')).toBe('nvidia-h100-80gb-hbm3');
  });

  test('what runs on tensor cores', () => {
    expect(usesTensorCores('linear', { x: 'bf16', weight: 'bf16', bias: 'f32', rows: 'i32' })).toBe(true);
    expect(usesTensorCores('linear', { x: 'f32', weight: 'bf16' })).toBe(false);
    expect(usesTensorCores('paged_attention', { q: 'bf16', k_cache: 'bf16', seq: 'i32' })).toBe(true);
    expect(usesTensorCores('dense_attention', { qkv: 'f32' })).toBe(false);
    expect(usesTensorCores('rms_norm', { x: 'bf16', weight: 'bf16' })).toBe(false);
  });
});
