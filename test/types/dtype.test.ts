// Mixing dtypes is a compile error. No op runs here: the compiler checks the types and the marked lines, in `npm run typecheck`
// and in the last test, which also has it refuse a file without a mark.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, expectTypeOf, test } from 'vitest';
import { type Context, type DType, ops, type Tensor } from '../../lib/index.js';

/** Names for the types only: the functions below are never called. */
declare const cx: Context;
declare const f32: Tensor<'f32'>;
declare const bf16: Tensor<'bf16'>;
declare const i32: Tensor<'i32'>;
declare const u8: Tensor<'u8'>;
declare const either: Tensor<'f32' | 'bf16'>;

describe('results have the dtype of what went in', () => {
  const never = (_: () => void) => {};

  test('that of T', () => {
    never(() => {
      expectTypeOf(ops.linear(cx, { x: f32, weight: f32 })).toEqualTypeOf<Tensor<'f32'>>();
      expectTypeOf(ops.linear(cx, { x: bf16, weight: f32 })).toEqualTypeOf<Tensor<'bf16'>>();
      expectTypeOf(ops.rmsNorm(cx, { x: bf16, weight: f32 }).out).toEqualTypeOf<Tensor<'bf16'>>();
      expectTypeOf(ops.concatRows(cx, { a: u8, b: u8 })).toEqualTypeOf<Tensor<'u8'>>();
      expectTypeOf(ops.linear(cx, { x: either, weight: either })).toEqualTypeOf<Tensor<'f32' | 'bf16'>>();
    });
  });

  test('that of the attribute dtype', () => {
    never(() => {
      expectTypeOf(ops.linear(cx, { x: bf16, weight: bf16, dtype: 'f32' })).toEqualTypeOf<Tensor<'f32'>>();
      const residual = { x: bf16, weight: bf16, residual: f32, dtype: 'f32' } as const;
      expectTypeOf(ops.linear(cx, residual)).toEqualTypeOf<Tensor<'f32'>>();
      expectTypeOf(ops.embedding(cx, { table: bf16, ids: i32, dtype: 'f32' })).toEqualTypeOf<Tensor<'f32'>>();
      expectTypeOf(ops.cast(cx, { x: f32, dtype: 'bf16' })).toEqualTypeOf<Tensor<'bf16'>>();
      expectTypeOf(ops.embedding(cx, { table: bf16, ids: i32 })).toEqualTypeOf<Tensor<'bf16'>>();
    });
  });

  test('that of the contract', () => {
    never(() => {
      expectTypeOf(ops.normalizePixels(cx, { x: u8 })).toEqualTypeOf<Tensor<'f32'>>();
      expectTypeOf(ops.denormalizePixels(cx, { x: bf16 })).toEqualTypeOf<Tensor<'u8'>>();
      expectTypeOf(ops.treeBuild).returns.toHaveProperty('rows').toEqualTypeOf<Tensor<'i32'>>();
    });
  });

  test('and so has their data', () => {
    expectTypeOf<Awaited<ReturnType<Tensor<'f32'>['data']>>>().toEqualTypeOf<Float32Array>();
    expectTypeOf<Awaited<ReturnType<Tensor<'bf16'>['data']>>>().toEqualTypeOf<Uint16Array>();
    expectTypeOf<Awaited<ReturnType<Tensor<'i32'>['data']>>>().toEqualTypeOf<Int32Array>();
    expectTypeOf<Awaited<ReturnType<Tensor<'u8'>['data']>>>().toEqualTypeOf<Uint8Array>();
    never(() => {
      expectTypeOf(f32.reshape([1])).toEqualTypeOf<Tensor<'f32'>>();
      expectTypeOf(bf16.rows(0, 1)).toEqualTypeOf<Tensor<'bf16'>>();
      expectTypeOf(cx.tensor('i32', [1])).toEqualTypeOf<Tensor<'i32'>>();
    });
  });
});

/** Calls that must not compile. Each mark is an error of its own when the line below it compiles after all. */
const refused = [
  // operands of one type variable with two dtypes
  // @ts-expect-error
  () => ops.rmsNorm(cx, { x: f32, residual: bf16, weight: f32 }),
  // @ts-expect-error
  () => ops.rmsNorm(cx, { x: f32, weight: f32, weightGen: bf16, split: i32 }),
  // @ts-expect-error
  () => ops.layerNorm(cx, { x: f32, weight: f32, bias: bf16 }),
  // @ts-expect-error
  () => ops.linear(cx, { x: f32, weight: f32, weightGen: bf16, split: i32 }),
  // @ts-expect-error
  () => ops.linear(cx, { x: f32, weight: f32, bias: f32, biasGen: bf16 }),
  // @ts-expect-error
  () => ops.linear(cx, { x: f32, weight: bf16, residual: bf16 }),
  // @ts-expect-error
  () => ops.linear(cx, { x: f32, weight: f32, residual: f32, dtype: 'bf16' }),
  // @ts-expect-error
  () => ops.concatRows(cx, { a: f32, b: bf16 }),
  // @ts-expect-error
  () => ops.concatRows(cx, { a: i32, b: u8 }),
  // @ts-expect-error
  () => ops.packWeight(cx, { weight: f32, second: bf16 }),
  // @ts-expect-error
  () => ops.copyPages(cx, { kCache: f32, vCache: bf16, pairs: i32 }),
  // @ts-expect-error
  () => ops.vaeLatent(cx, { moments: f32, noise: bf16, scale: 1, shift: 0 }),
  () =>
    ops.pagedAttention(cx, {
      q: f32,
      kCache: f32,
      // @ts-expect-error
      vCache: bf16,
      pageTable: i32,
      seq: i32,
      visible: i32,
      scale: 1,
    }),
  // a dtype that an operand never takes
  // @ts-expect-error
  () => ops.linear(cx, { x: i32, weight: f32 }),
  // @ts-expect-error
  () => ops.linear(cx, { x: f32, weight: u8 }),
  // @ts-expect-error
  () => ops.embedding(cx, { table: f32, ids: f32 }),
  // @ts-expect-error
  () => ops.normalizePixels(cx, { x: f32 }),
  // @ts-expect-error
  () => ops.increment(cx, { x: f32 }),
  // @ts-expect-error
  () => ops.rmsNorm(cx, { x: f32, weight: f32, rows: u8 }),
  // @ts-expect-error
  () => ops.cast(cx, { x: f32, dtype: 'i32' }),
  // @ts-expect-error
  () => ops.cast(cx, { x: f32, dtype: 'f64' }),
  // results and data
  // @ts-expect-error
  (): Tensor<'f32'> => ops.linear(cx, { x: bf16, weight: bf16 }),
  // @ts-expect-error
  (): Tensor<'bf16'> => ops.linear(cx, { x: bf16, weight: bf16, dtype: 'f32' }),
  // @ts-expect-error
  () => f32.write(new Uint16Array(1)),
  // @ts-expect-error
  () => cx.tensor('bf16', [1], new Float32Array(1)),
  // @ts-expect-error
  () => cx.tensor('f64', [1]),
  // a tensor of unknown dtype is none of f32
  // @ts-expect-error
  (x: Tensor<DType>) => ops.linear(cx, { x, weight: f32 }),
  // required operands and attributes, unknown names and choices
  // @ts-expect-error
  () => ops.linear(cx, { x: f32 }),
  // @ts-expect-error
  () => ops.denseAttention(cx, { qkv: f32 }),
  // @ts-expect-error
  () => ops.linear(cx, { x: f32, weight: f32, activation: 'relu' }),
  // @ts-expect-error
  () => ops.linear(cx, { x: f32, weight: f32, weights: f32 }),
];

test('the compiler takes this file, and names the operand whose dtype differs in another', { timeout: 120_000 }, () => {
  expect(refused.length).toBeGreaterThan(25);
  // beside the sources, so that the compiler's options and paths are those of the project
  mkdirSync('.cache', { recursive: true });
  const folder = mkdtempSync('.cache/types-');
  try {
    const source = (weight: string) => `import { Context, ops } from '../../lib/index.js';
const cx = await Context.create();
const x = cx.zeros('f32', [2, 4]);
export const out = ops.rmsNorm(cx, { x, residual: cx.zeros('${weight}', [2, 4]), weight: cx.zeros('f32', [4]) });
`;
    writeFileSync(path.join(folder, 'good.ts'), source('f32'));
    writeFileSync(path.join(folder, 'bad.ts'), source('bf16'));
    const config = {
      extends: '../../tsconfig.json',
      include: [],
      files: ['good.ts', 'bad.ts', '../../test/types/dtype.test.ts'],
    };
    writeFileSync(path.join(folder, 'tsconfig.json'), JSON.stringify(config));
    const compiler = path.resolve('node_modules/typescript/bin/tsc');
    const { status, stdout } = spawnSync(process.execPath, [compiler, '-p', folder], { encoding: 'utf8' });
    expect(status).not.toBe(0);
    const errors = stdout.split('\n').filter((line) => line.includes('error TS'));
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatch(/bad\.ts\(4,\d+\): error TS2322/);
    expect(stdout).toMatch(/Tensor<"bf16">.*Tensor<"f32">/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
