// The examples of the documentation, executed as written against the built package.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, test } from 'vitest';

const root = process.cwd();
const folder = mkdtempSync(path.join(tmpdir(), 'hyper-bagel-readme-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The first TypeScript block of a page. */
function example(page: string): string {
  const block = /```ts\n([\s\S]*?)```/.exec(readFileSync(path.join(root, page), 'utf8'))?.[1];
  if (block === undefined) throw new Error(`${page} has no TypeScript block`);
  return block;
}

/** Runs a program that imports the package by name, in an empty folder with the examples beside it. */
async function run(source: string): Promise<string> {
  mkdirSync(path.join(folder, 'node_modules'), { recursive: true });
  const link = path.join(folder, 'node_modules', 'hyper-bagel');
  if (!existsSync(link)) symlinkSync(root, link, 'dir');
  if (!existsSync(path.join(folder, 'examples')))
    symlinkSync(path.join(root, 'examples'), path.join(folder, 'examples'));
  writeFileSync(path.join(folder, 'example.mjs'), source);
  return (await promisify(execFile)(process.execPath, ['example.mjs'], { cwd: folder, timeout: 60_000 })).stdout;
}

test('the library example of the README', { timeout: 90_000 }, async () => {
  const source = example('README.md');
  expect(
    source
      .trim()
      .split('\n')
      .filter((line) => line !== '').length,
  ).toBeLessThanOrEqual(12);
  expect(await run(source)).toMatch(/^The image shows four objects/);
  expect(existsSync(path.join(folder, 'circle.png'))).toBe(true);
  expect(existsSync(path.join(folder, 'green.png'))).toBe(true);
});

test('the kernel-alone example of docs/ops.md', { timeout: 60_000 }, async () => {
  expect(await run(example('docs/ops.md'))).toContain('Float32Array(8)');
});
