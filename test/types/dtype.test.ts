// Mixing dtypes is a compile error. `tsc` over a program says so, line by line.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, expectTypeOf, test } from 'vitest';
import type { ops } from '../../lib/index.js';
import type { Tensor } from '../../lib/tensor/tensor.js';

mkdirSync('.cache', { recursive: true });
const folder = mkdtempSync(path.join(process.cwd(), '.cache', 'types-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const PROGRAM = `import { type Context, ops, type Tensor } from '../../lib/index.js';
declare const cx: Context;
declare const f: Tensor<'f32'>;
declare const b: Tensor<'bf16'>;
declare const i: Tensor<'i32'>;
export const good = [
  ops.rmsNorm(cx, { x: f, weight: b }),
  ops.linear(cx, { x: b, weight: b, dtype: 'f32' }),
  ops.linear(cx, { x: b, weight: b, dtype: 'f32', residual: f }),
  ops.embedding(cx, { table: b, ids: i, dtype: 'f32' }),
];
const BAD = [
`;

/** Wrong calls and a part of what the compiler says of each. */
const WRONG: [call: string, message: RegExp][] = [
  ['ops.rmsNorm(cx, { x: f, residual: b, weight: f })', /"bf16"|'bf16'/],
  ['ops.rmsNorm(cx, { x: i, weight: f })', /"i32"|'i32'/],
  ['ops.linear(cx, { x: f, weight: b, residual: b })', /"bf16"|'bf16'/],
  ['ops.linear(cx, { x: f, weight: f, weightGen: b })', /"bf16"|'bf16'/],
  ['ops.embedding(cx, { table: f, ids: f })', /"f32"|'f32'/],
  ["ops.cast(cx, { x: f, dtype: 'i32' })", /i32/],
  ["ops.linear(cx, { x: f, weight: f, activation: 'relu' })", /relu/],
  ['ops.linear(cx, { x: f })', /weight/],
];

describe('dtype-typed tensors', () => {
  test('mixing dtypes does not compile', { timeout: 120_000 }, () => {
    const file = path.join(folder, 'program.ts');
    writeFileSync(file, `${PROGRAM}${WRONG.map(([call]) => `  ${call},\n`).join('')}];\nexport default BAD;\n`);
    const config = path.join(folder, 'tsconfig.json');
    writeFileSync(
      config,
      JSON.stringify({ extends: '../../tsconfig.json', compilerOptions: { noEmit: true }, include: ['program.ts'] }),
    );
    let output = '';
    try {
      execFileSync('node_modules/.bin/tsc', ['-p', config], { encoding: 'utf8' });
    } catch (error) {
      output = (error as { stdout: string }).stdout;
    }
    const first = PROGRAM.split('\n').length;
    const lines = output.split('\n');
    WRONG.forEach(([call, message], n) => {
      const at = lines.findIndex((line) => line.includes(`program.ts(${first + n},`));
      expect(at, call).toBeGreaterThanOrEqual(0);
      const next = lines.findIndex((line, k) => k > at && line.includes('program.ts('));
      expect(lines.slice(at, next < 0 ? undefined : next).join('\n'), call).toMatch(message);
    });
    const reported = new Set([...output.matchAll(/program\.ts\((\d+),/g)].map((m) => Number(m[1])));
    expect([...reported].filter((line) => line < first)).toEqual([]); // the good calls compile
  });

  test('results carry the dtype', () => {
    type F = Tensor<'f32'>;
    expectTypeOf<ReturnType<typeof ops.rmsNorm<'f32', 'bf16'>>['out']>().toEqualTypeOf<F>();
    expectTypeOf<ReturnType<typeof ops.linear<'bf16', 'bf16', 'f32', 'f32'>>>().toEqualTypeOf<F>();
    expectTypeOf<Awaited<ReturnType<F['data']>>>().toEqualTypeOf<Float32Array>();
    expectTypeOf<Awaited<ReturnType<Tensor<'bf16'>['data']>>>().toEqualTypeOf<Uint16Array>();
  });
});
