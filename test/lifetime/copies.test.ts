// Several copies of the package in one process: the ES module and the CommonJS one of one installation, which share its addon, and
// those of another installation with an addon of its own.
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runChild } from './child.js';

const folder = mkdtempSync(path.join(tmpdir(), 'hyper-bagel-copies-'));
beforeAll(() => {
  mkdirSync(path.join(folder, 'build', 'Release'), { recursive: true });
  for (const part of ['dist', 'package.json', 'build/Release/hyper_bagel.node']) {
    cpSync(part, path.join(folder, part), { recursive: true });
  }
  symlinkSync(path.resolve('node_modules'), path.join(folder, 'node_modules'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const kit = `
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
const require = createRequire(import.meta.url);
const load = async (root) => [
  await import(pathToFileURL(root + '/dist/index.js')),
  require(root + '/dist/index.cjs'),
];
const copies = [...(await load(process.cwd())), ...(await load(${JSON.stringify(folder)}))];
const MODEL = process.cwd() + '/models/tiny';
`;

async function inChild<T>(program: string): Promise<T> {
  const { code, signal, stdout, stderr } = await runChild(kit + program);
  expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
  return JSON.parse(stdout) as T;
}

test('each computes as it does alone, at the same time as the others, and ends alone', {
  timeout: 60_000,
}, async () => {
  const { files, classes, results, left } = await inChild<{
    files: string[];
    classes: number;
    results: string[];
    left: string;
  }>(`
    const bagels = await Promise.all(copies.map((copy) => copy.Bagel.load(MODEL, { threads: 1, cacheTokens: 1024 })));
    const work = async (bagel) => {
      const [answer, drawing] = await Promise.all([
        bagel.ask('how many objects are there?', { maxTokens: 12, ignoreStop: true }),
        bagel.draw('a red circle', { steps: 2, seed: 1 }),
      ]);
      return answer.tokens.join() + ' ' + Buffer.from(drawing.image.data).toString('base64');
    };
    const results = [await work(bagels[0]), ...(await Promise.all(bagels.map(work)))];
    await Promise.all(bagels.slice(0, 3).map((bagel) => bagel.dispose()));
    const left = await work(bagels[3]);
    await bagels[3].dispose();
    console.log(JSON.stringify({
      files: copies.map((copy) => copy.addonInfo().file),
      classes: new Set(copies.map((copy) => copy.Bagel)).size,
      results,
      left,
    }));`);
  expect(classes).toBe(4);
  expect(new Set(files).size).toBe(2);
  expect(new Set(results).size).toBe(1);
  expect(left).toBe(results[0]);
});

test('errors of each are errors of all', { timeout: 60_000 }, async () => {
  const { native, facade, foreign } = await inChild<Record<string, boolean[][]>>(`
    const caught = async (work) => {
      try {
        await work();
        return undefined;
      } catch (error) {
        return error;
      }
    };
    const matrix = async (make) => {
      const rows = [];
      for (const copy of copies) {
        const error = await caught(() => make(copy));
        rows.push(copies.flatMap(({ HyperBagelError }) => [error instanceof HyperBagelError, HyperBagelError.isInstance(error)]));
      }
      return rows;
    };
    class Special extends copies[0].HyperBagelError {}
    console.log(JSON.stringify({
      native: await matrix(async (copy) => {
        const cx = await copy.Context.create({ threads: 1 });
        await cx.dispose();
        cx.tensor('f32', [1]);
      }),
      facade: await matrix((copy) => copy.Bagel.load('/nowhere')),
      foreign: [
        copies.map(({ HyperBagelError }) => new Error('x') instanceof HyperBagelError || null instanceof HyperBagelError),
        [new copies[0].HyperBagelError('BUSY', '') instanceof Special, !(new Special('BUSY', '') instanceof Special)],
      ],
    }));`);
  expect(native).toEqual(Array.from({ length: 4 }, () => Array(8).fill(true)));
  expect(facade).toEqual(native);
  expect(foreign).toEqual([Array(4).fill(false), [false, false]]);
});

test('what belongs to one is refused by another, without harm', { timeout: 60_000 }, async () => {
  const codes = await inChild<string[][]>(`
    const contexts = await Promise.all(copies.map((copy) => copy.Context.create({ threads: 1 })));
    const code = async (work) => {
      try {
        return String(await work());
      } catch (error) {
        return error.code ?? String(error);
      }
    };
    const rows = [];
    for (const [i, copy] of copies.entries()) {
      const row = [];
      for (const cx of contexts) {
        const x = cx.tensor('f32', [1, 2], [3, 4]);
        const program = cx.record(() => copies[contexts.indexOf(cx)].ops.linear(cx, { x, weight: x }));
        row.push(
          await code(async () => (await copy.ops.linear(contexts[i], { x, weight: x }).data()).join()),
          await code(async () => {
            const { ticket, data } = contexts[i].native.read(x.native);
            await contexts[i].until(ticket);
            return data().byteLength;
          }),
          await code(() => contexts[i].native.runProgram(program.native ?? Object.create(Object.getPrototypeOf(x.native)), null)),
        );
      }
      rows.push(row);
    }
    for (const cx of contexts) await cx.dispose();
    console.log(JSON.stringify(rows));`);
  // own, the other module with the same addon, the other addon twice; the second half the other way round
  const own = ['25', '8', 'BAD_OPTION'];
  const sameAddon = ['BAD_DEVICE', 'BAD_DEVICE', 'BAD_OPTION'];
  const otherAddon = ['BAD_OPTION', 'BAD_OPTION', 'BAD_OPTION'];
  expect(codes).toEqual([
    [...own, ...sameAddon, ...otherAddon, ...otherAddon],
    [...sameAddon, ...own, ...otherAddon, ...otherAddon],
    [...otherAddon, ...otherAddon, ...own, ...sameAddon],
    [...otherAddon, ...otherAddon, ...sameAddon, ...own],
  ]);
});
