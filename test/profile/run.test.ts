// Profiles of real runs: the bundled model's answers, drawings and edits, the command line, a device's context.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as ops from '../../lib/generated/ops.js';
import { Bagel } from '../../lib/index.js';
import type { ProfileEvent } from '../../lib/profile/events.js';
import { rangeTree, titled } from '../../lib/profile/ranges.js';
import { formatReport, type ProfileRow, summarize } from '../../lib/profile/report.js';
import { keptRoofline } from '../../lib/profile/roofline.js';
import { Context } from '../../lib/tensor/context.js';
import { cli, temporaryFolder } from '../cli/kit.js';
import { allCases } from '../kit/all-cases.js';
import { seeded } from '../kit/cases.js';
import { uploadAll } from '../kit/run-case.js';
import { readTrace, type Slice, type Trace, traceOf } from './kit.js';

const folder = temporaryFolder();
const inFolder = (name: string) => path.join(folder, name);
let bagel: Bagel;
beforeAll(async () => {
  bagel = await Bagel.load(undefined, { device: 'cpu', threads: 1, dtype: 'f32' });
});
afterAll(() => bagel.dispose());

const SCENE = 'examples/scene.png';
const LAYERS = () => bagel.config.llm.layers;

async function ask(maxTokens: number) {
  using session = bagel.session();
  await session.addImage(SCENE);
  await session.addText('describe the image.');
  const stream = session.answer({ maxTokens, speculate: 'off' });
  for await (const _ of stream);
  return await stream.result;
}

async function profileOf(work: () => Promise<unknown>): Promise<{ events: ProfileEvent[]; trace: Trace }> {
  bagel.context.profileStart();
  await work();
  const events = bagel.context.profileStop();
  return { events, trace: traceOf(titled('all', rangeTree(events))) };
}

const opsOf = ({ slices }: Trace) => slices.filter(({ cat }) => cat === 'op');
const named = ({ slices }: Trace, name: RegExp) =>
  slices.flatMap((slice, number) => (name.test(slice.name) ? [{ ...slice, number }] : []));

/** Every sum of the report is that of the trace's ops, and its table prints it. */
function compare(trace: Trace, events: readonly ProfileEvent[]): void {
  const report = summarize(events);
  const sums = new Map<string, { calls: number; us: number; flops: number; bytes: number }>();
  for (const { name, dur, args } of opsOf(trace)) {
    const sum = sums.get(name) ?? { calls: 0, us: 0, flops: 0, bytes: 0 };
    sums.set(name, sum);
    sum.calls++;
    sum.us += dur;
    sum.flops += args?.flops ?? Number.NaN;
    sum.bytes += args?.bytes ?? Number.NaN;
  }
  expect(report.rows.map(({ name }) => name).sort()).toEqual([...sums.keys()].sort());
  for (const { name, calls, seconds, flops, bytes } of report.rows) {
    const sum = sums.get(name);
    expect(sum).toMatchObject({ calls, flops, bytes });
    expect(sum?.us).toBeCloseTo(seconds * 1e6, 3);
  }
  expect(report.rows.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 9);
  expect(report.families.reduce((sum, { seconds }) => sum + seconds, 0)).toBeCloseTo(report.timeline.ops, 9);
  const { span, ops: inOps, jobs, waiting } = report.timeline;
  expect(inOps + jobs + waiting).toBeCloseTo(span, 9);
  const total = (rows: readonly ProfileRow[], of: 'flops' | 'bytes') => rows.reduce((sum, row) => sum + row[of], 0);
  const outermost = report.ranges.filter(({ depth }) => depth === 0);
  // every op of these runs is in a range
  expect(total(outermost, 'flops')).toBeCloseTo(total(report.rows, 'flops'), 0);
  expect(total(outermost, 'bytes')).toBeCloseTo(total(report.rows, 'bytes'), 0);
  const lines = formatReport(report).split('\n');
  for (const [i, row] of report.rows.entries()) {
    expect(lines[2 + i]?.trim().split(/ +/).slice(0, 3)).toEqual([
      row.name,
      `${row.calls}`,
      (row.seconds * 1e3).toFixed(2),
    ]);
  }
}

describe('the bundled model', () => {
  test('an answer: answer > round > layer > op, in programs that were recorded before, too', async () => {
    const first = await profileOf(() => ask(4)); // records
    let steps = 0;
    const again = await profileOf(async () => {
      steps = (await ask(4)).stats.steps;
    });
    for (const { trace, events } of [first, again]) {
      compare(trace, events);
      const rounds = named(trace, /^round/);
      expect(rounds.length).toBeGreaterThanOrEqual(steps);
      for (const round of rounds.slice(0, steps)) {
        expect(round.path).toEqual(['all', 'answer', 'round of 1 node']);
        const inside = trace.slices.filter(({ within }) => within.at(-1) === round.number);
        expect(inside.filter(({ cat }) => cat === 'range').map(({ name }) => name)).toEqual(
          Array.from({ length: LAYERS() }, (_, i) => `layer ${i}`),
        );
        expect(inside.filter(({ cat }) => cat === 'op').map(({ name }) => name)).toEqual(
          expect.arrayContaining(['tree_build', 'rope_table', 'sample', 'tree_verify', 'emit']),
        );
      }
      const layers = named(trace, /^layer 0$/).filter(({ path }) => path[1] === 'answer');
      for (const layer of layers.slice(0, steps)) {
        expect(trace.slices.filter(({ within }) => within.at(-1) === layer.number).map(({ name }) => name)).toEqual([
          'rms_norm',
          'linear',
          'qk_norm_rope_append',
          'paged_attention',
          'linear',
          'rms_norm',
          'linear',
          'linear',
        ]);
      }
      const contexts = named(trace, /^(vision|text)$/).map(({ path }) => path.join(' > '));
      expect(contexts).toEqual(['all > context > vision', 'all > context > text']);
    }
  });

  test('a drawing and an edit: drawing > evaluation > layer > op, contexts before and the picture behind', async () => {
    const draw = await profileOf(() => bagel.draw('a red circle', { steps: 3, seed: 1 }));
    compare(draw.trace, draw.events);
    const evaluations = named(draw.trace, /^evaluation/);
    expect(evaluations.map(({ path }) => path.slice(0, -1))).toEqual(Array(3).fill(['all', 'drawing']));
    expect(new Set(evaluations.map(({ name }) => name))).toEqual(new Set(['evaluation full+noText']));
    expect(named(draw.trace, /^layer/).filter(({ path }) => path[1] === 'drawing')).toHaveLength(3 * LAYERS());
    expect(named(draw.trace, /^level/).every(({ path }) => path[1] === 'picture')).toBe(true);

    const edit = await profileOf(() => bagel.edit(SCENE, 'make it red', { steps: 2, seed: 1 }));
    compare(edit.trace, edit.events);
    expect(named(edit.trace, /^evaluation/)).toHaveLength(2);
    expect(new Set(named(edit.trace, /^(latents|vision|text)$/).map(({ path }) => path.join(' > ')))).toEqual(
      new Set(['all > context > latents', 'all > context > vision', 'all > context > text']),
    );
    expect(named(edit.trace, /^vision layer/)).toHaveLength(bagel.config.vit.layers);
  });

  test('an answer and a drawing at once are on two tracks', async () => {
    using session = bagel.session();
    await session.addText('what is it?');
    const { trace, events } = await profileOf(async () => {
      let answer: Promise<unknown> | undefined;
      const onStep = () => {
        answer ??= session.answer({ maxTokens: 30, speculate: 'off' }).result;
      };
      await bagel.draw('a red circle', { steps: 50, onStep });
      await answer;
    });
    compare(trace, events);
    const track = (name: string) => new Set(named(trace, new RegExp(`^${name}$`)).map(({ tid }) => tid));
    expect(track('answer')).not.toEqual(track('drawing'));
    for (const [range, inner] of [
      ['answer', /^round/],
      ['drawing', /^evaluation/],
    ] as const) {
      expect(named(trace, inner).every(({ path }) => path.includes(range))).toBe(true);
    }
  });
});

describe('costs', () => {
  test('of every op: alone, recorded and replayed they are the same', async () => {
    const cx = await Context.create({ device: 'cpu', threads: 1 });
    for (const { op, cases } of await allCases()) {
      const inputs = cases.find(({ tags }) => tags.includes('small'))?.build(seeded(3));
      if (!inputs) continue;
      cx.scope(() => {
        const operands = uploadAll(cx, inputs);
        const attributes = op === 'emit' ? { ...inputs.attributes, channel: 0 } : inputs.attributes;
        cx.profileStart();
        cx.call(op, operands, attributes);
        const program = cx.record(() => cx.call(op, operands, attributes), 'once more');
        program.run();
        program.run();
      });
      await cx.sync().catch(() => {});
      const events = cx.profileStop().filter((event) => event.op === op);
      expect(events, op).toHaveLength(3);
      expect(new Set(events.map(({ flops, bytes, shape }) => JSON.stringify({ flops, bytes, shape }))).size, op).toBe(
        1,
      );
      expect(events.map(({ range }) => range?.name ?? null)).toEqual([null, 'once more', 'once more']);
    }
    await cx.dispose();
  });

  test('of every op on a device, whose memory the host cannot read: as on the cpu', { timeout: 60_000 }, async () => {
    const [cpu, device] = [
      await Context.create({ device: 'cpu', threads: 1 }),
      await Context.create({ device: 'simt', simt: { guarded: true } }),
    ];
    const refused: string[] = [];
    let compared = 0;
    for (const { op, cases } of await allCases()) {
      const inputs = (cases.find(({ tags }) => tags.includes('small')) ?? cases[0])?.build(seeded(3));
      if (!inputs) continue;
      const attributes = op === 'emit' ? { ...inputs.attributes, channel: 0 } : inputs.attributes;
      const [wanted, got] = await Promise.all(
        [cpu, device].map(async (cx) => {
          cx.profileStart();
          try {
            cx.scope(() => void cx.call(op, uploadAll(cx, inputs), attributes));
          } catch (error) {
            if (cx === cpu || (error as { code?: string }).code !== 'NOT_SUPPORTED') throw error;
            refused.push(op);
          }
          await cx.sync();
          return cx.profileStop().flatMap((event) => (event.op === op ? [[event.flops, event.bytes]] : []));
        }),
      );
      if (refused.includes(op)) continue;
      expect(got, op).toEqual(wanted);
      compared++;
    }
    console.log(`${compared} ops; not on a device: ${refused.join(', ') || 'none'}`);
    expect(compared).toBeGreaterThan(30);
    await Promise.all([cpu.dispose(), device.dispose()]);
  });

  test('of a replayed program, by what its operands hold then', async () => {
    for (const options of [{ device: 'cpu', threads: 1 } as const, { device: 'simt' } as const]) {
      const cx = await Context.create(options);
      const [slots, width] = [3 * 64, 32];
      const visible = cx.tensor('i32', [2], [1, 1]);
      const rows = cx.tensor('i32', [1], [0]);
      const operands = {
        q: cx.zeros('f32', [2, 1, width]),
        k_cache: cx.zeros('f32', [3, 1, width, 64]),
        v_cache: cx.zeros('f32', [3, 1, 64, width]),
        page_table: cx.tensor('i32', [1, 3], [0, 1, 2]),
        seq: cx.tensor('i32', [2], [0, 0]),
        visible,
        rows,
      };
      const program = cx.record(() => cx.call('paged_attention', operands, { scale: 1 }));
      cx.profileStart();
      for (const [live, seen] of [
        [0, 1],
        [2, 1],
        [2, slots],
        [1, 7],
      ] as const) {
        rows.write([live]);
        visible.write([seen, seen]);
        program.run();
      }
      await cx.sync();
      const flops = cx.profileStop().flatMap((event) => (event.op === 'paged_attention' ? [event.flops] : []));
      // 4 a slot and a column
      expect(flops, options.device).toEqual([0, 2 * 4 * width, 2 * 4 * slots * width, 4 * 7 * width]);
      await cx.dispose();
    }
  });

  test('of a linear, by its shapes', async () => {
    const { events } = await profileOf(() => ask(2));
    const linears = events.filter(({ op }) => op === 'linear');
    expect(linears.length).toBeGreaterThan(50);
    for (const { shape, flops, bytes } of linears) {
      const operand = (name: string) => {
        const [, dtype, dims] =
          new RegExp(`(?:^|, )${name} (?:packed )?(\\w+)(?: packed)? \\[([\\d, ]+)\\]`).exec(shape) ?? [];
        return dims && { bytes: dtype === 'f32' ? 4 : 2, dims: dims.split(', ').map(Number) };
      };
      const [x, weight] = [operand('x'), operand('weight')];
      if (!x || !weight) throw new Error(`no operands in ${shape}`);
      const [n = 0, k = 0] = x.dims;
      const [m = 0] = weight.dims;
      expect(weight.dims).toEqual([m, k]);
      // what is recorded for several rows may have fewer live ones
      expect(flops).toBeLessThanOrEqual(2 * n * m * k);
      expect(flops % (2 * m * k)).toBe(0);
      const moved = ['x', 'weight', 'residual', 'out'].map(operand);
      const least = moved.reduce((sum, o) => sum + (o ? o.bytes * o.dims.reduce((p, d) => p * d, 1) : 0), 0);
      expect(bytes).toBeGreaterThanOrEqual(least);
      expect(bytes).toBeLessThan(1.2 * least + 4096); // panels of packed weights are padded
    }
  });
});

test('a device: by its own clock, jobs one after the other', async () => {
  const cx = await Context.create({ device: 'simt', simt: { guarded: true } });
  const weight = cx.tensor('f32', [40], new Float32Array(40).fill(1));
  const x = cx.tensor('f32', [3, 40], new Float32Array(120).fill(2));
  const program = cx.record(() => {
    const h = cx.range('layer 0', () => ops.rmsNorm(cx, { x, weight }).out);
    return cx.range('layer 1', () => ops.rmsNorm(cx, { x: h, weight }).out);
  }, 'round of 1 node');
  await cx.sync();
  cx.profileStart();
  for (let i = 0; i < 5; i++) program.run();
  cx.range('text', () => ops.rmsNorm(cx, { x, weight }));
  await x.data();
  const events = cx.profileStop();
  const trace = traceOf(rangeTree(events)); // throws if anything overlaps
  expect(trace.slices.slice(0, -1).map(({ path }) => path.join(' > '))).toEqual([
    ...Array.from({ length: 5 }, () => [
      'round of 1 node',
      'round of 1 node > layer 0',
      'round of 1 node > layer 0 > rms_norm',
      'round of 1 node > layer 1',
      'round of 1 node > layer 1 > rms_norm',
    ]).flat(),
    'text',
    'text > rms_norm',
  ]);
  expect(trace.slices.at(-1)).toMatchObject({ name: 'copy', cat: 'copy' });
  expect(trace.tracks).toEqual(['executor']);
  expect(cx.profileClock).toMatch(/^events in the queue of the simt device/);
  expect(summarize(events).rows).toMatchObject([{ name: 'rms_norm', calls: 11 }]);
  await cx.dispose();
});

describe('command line', () => {
  const env = { XDG_CACHE_HOME: folder };
  const ROW = /^(op|range) +calls +ms +share +MB +Mflop +GB\/s +Gflop\/s +of roofline$/gm;

  test('profile ask: the answer, two tables, a trace, a flame chart; the peaks are measured once', async () => {
    const [file, flame] = [inFolder('ask.json'), inFolder('ask.svg')];
    const args = ['describe the image.', '-i', SCENE, '--max-tokens', '4', '--threads', '1'];
    const command = ['profile', 'ask', ...args, '--trace-file', file, '--flame', flame];
    const { status, stdout } = await cli(command, env);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^The image/);
    expect(stdout.match(ROW)).toHaveLength(2);
    expect(stdout).toMatch(/^ {2}round of 1 node +\d+ /m);
    expect(stdout).toContain('clock: the steady clock of the executor thread');
    expect(stdout).toMatch(/^roofline: [1-9]\d* Gflop\/s/m);
    expect(stdout.trimEnd().split('\n').slice(-2)).toEqual([file, flame]);
    const trace = readTrace(readFileSync(file, 'utf8'));
    expect(trace.about).toMatchObject({ title: 'ask describe the image.', device: 'cpu', threads: 1, dtype: 'f32' });
    expect(new Set(trace.slices.map(({ path }) => path[0]))).toEqual(new Set(['ask describe the image.']));
    for (const { name, args: cost } of opsOf(trace) as Slice[]) {
      expect(cost?.shape, name).toMatch(/\w+ (packed )?\w+/);
      expect(Number.isFinite((cost?.flops ?? Number.NaN) + (cost?.bytes ?? Number.NaN)), name).toBe(true);
    }
    expect(statSync(flame).size).toBeLessThan(200_000);
    // the table printed is the trace
    const linears = opsOf(trace).filter(({ name }) => name === 'linear');
    const ms = linears.reduce((sum, { dur }) => sum + dur, 0) / 1e3;
    const [, calls, printed] = /^linear +(\d+) +([\d.]+) /m.exec(stdout) ?? [];
    expect(Number(calls)).toBe(linears.length);
    expect(Math.abs(Number(printed) - ms)).toBeLessThan(0.0051);

    const second = await cli([...command, '--json'], env);
    const { profile, text } = JSON.parse(second.stdout) as {
      text: string;
      profile: { trace: string; rows: ProfileRow[]; roofline: { f32Flops: { all: number } } };
    };
    expect(text).toMatch(/^The image/);
    expect(profile.trace).toBe(file);
    expect(profile.rows.every(({ ofRoofline }) => (ofRoofline ?? -1) >= 0)).toBe(true);
    const [, first] = /^roofline: (\d+) Gflop/m.exec(stdout) ?? [];
    expect((profile.roofline.f32Flops.all / 1e9).toFixed(0)).toBe(first);
  });

  test('profile draw: the picture and the tables', async () => {
    const [file, out] = [inFolder('draw.json'), inFolder('out.png')];
    const args = ['profile', 'draw', 'a red circle', '--steps', '2', '--threads', '1', '-o', out, '--trace-file', file];
    const { status, stdout } = await cli(args, env);
    expect(status).toBe(0);
    expect(stdout.split('\n')[0]).toBe(out);
    expect(stdout.match(ROW)).toHaveLength(2);
    expect(named(readTrace(readFileSync(file, 'utf8')), /^evaluation/)).toHaveLength(2);
  });
});

test('peaks that are kept come back; what is damaged is measured anew', async () => {
  const cache = inFolder('peaks');
  const measured = await keptRoofline({ isa: 'scalar', threads: 1 }, cache);
  const [name = ''] = readdirSync(path.join(cache, 'rooflines'));
  const file = path.join(cache, 'rooflines', name);
  const rate = JSON.stringify(measured.f32Flops);
  const kept = readFileSync(file, 'utf8');
  const again = async (other: string) => {
    writeFileSync(file, kept.replace(rate, other));
    return (await keptRoofline({ isa: 'scalar', threads: 1 }, cache)).f32Flops;
  };
  expect(await again('{"one":1,"all":2}')).toEqual({ one: 1, all: 2 });
  for (const bad of ['{"one":-1,"all":2}', '{"one":1}', 'null', '}']) {
    expect(await again(bad)).toEqual(measured.f32Flops);
  }
});
