import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { sources } from './sources.js';

const cpp = sources(['csrc', 'bindings'], /\.(h|cpp|cu|def)$/);
const ts = sources(['lib'], /\.ts$/);

function includesOf(text: string): string[] {
  return [...text.matchAll(/^\s*#\s*include\s*[<"]([^>"]+)[>"]/gm)].map((match) => match[1] as string);
}

/** Modules that a TypeScript file imports, exports from or imports lazily; relative ones as repository paths. */
function importsOf({ name, text }: { name: string; text: string }): string[] {
  return [...text.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*)['"]([^'"]+)['"]/g)].map((match) => {
    const target = match[1] as string;
    return target.startsWith('.') ? path.posix.join(path.posix.dirname(name), target) : target;
  });
}

test('Node-API is known in bindings only', () => {
  const offenders = cpp.filter(
    ({ name, text }) =>
      !name.startsWith('bindings/') &&
      includesOf(text).some((file) => /^(napi|node_api|js_native_api|node|uv|v8)[\w-]*\.h$/.test(file)),
  );
  expect(offenders.map(({ name }) => name)).toEqual([]);
  expect(cpp.some(({ name, text }) => name.startsWith('bindings/') && includesOf(text).includes('napi.h'))).toBe(true);
});

test('includes of the native core follow the arrows', () => {
  // A room may include itself and the rooms listed.
  const mayInclude: Record<string, readonly string[]> = {
    core: [],
    ops: ['core'],
    cpu: ['core', 'ops'],
    runtime: ['core', 'ops', 'device'],
    cuda: ['core', 'ops'],
    device: ['core', 'ops', 'cuda', 'simt'],
    simt: [],
  };
  const broken: string[] = [];
  for (const { name, text } of cpp) {
    const from = /^csrc\/(\w+)\//.exec(name)?.[1];
    if (from === undefined) continue;
    for (const file of includesOf(text)) {
      const resolved = existsSync(path.join('csrc', file)) ? file : path.posix.join(from, file);
      const to = resolved.split('/')[0] as string;
      if (to === from || !(to in mayInclude)) continue;
      if (name === 'csrc/runtime/registry.cpp' && to === 'cpu') continue; // the one file that knows the backends
      // The two doors to the emulator, and its tests.
      if (to === 'simt' && ['csrc/cuda/launch.h', 'csrc/cuda/prim/emulated.h'].includes(name)) continue;
      if (/^csrc\/(simt\/tests|cuda\/conformance)\//.test(name)) continue;
      if (!mayInclude[from]?.includes(to)) broken.push(`${name} includes ${file}`);
    }
  }
  expect(broken).toEqual([]);
});

test('a file for one instruction set defines nothing that another file may also define', () => {
  // The linker keeps one copy of an inline function. Should it keep the AVX-512 copy of a shared template, every
  // older processor would crash in code that has nothing to do with AVX-512.
  const objects = 'build/CMakeFiles/hb_core.dir';
  const sharedSymbols = (object: string): string[] =>
    execFileSync('nm', ['--defined-only', '--format=posix', object], { encoding: 'utf8' })
      .split('\n')
      .map((line) => line.split(' '))
      .filter(([, kind]) => kind !== undefined && 'WVu'.includes(kind))
      .map(([symbol]) => symbol as string);
  const objectOf = (name: string) => path.join(objects, `${name}.o`);
  const built = cpp.map(({ name }) => name).filter((name) => name.endsWith('.cpp') && existsSync(objectOf(name)));
  const isSealed = (name: string) => name.startsWith('csrc/cpu/isa/') && name !== 'csrc/cpu/isa/scalar.cpp';
  if (process.arch === 'x64' && existsSync('csrc/cpu/isa/avx2.cpp')) expect(built.some(isSealed)).toBe(true);

  const definedIn = new Map<string, string[]>();
  for (const name of built) {
    for (const symbol of sharedSymbols(objectOf(name))) {
      definedIn.set(symbol, [...(definedIn.get(symbol) ?? []), name]);
    }
  }
  const clashes = [...definedIn].filter(([, files]) => files.length > 1 && files.some(isSealed));
  expect(clashes.map(([symbol, files]) => `${symbol}: ${files.join(', ')}`)).toEqual([]);
});

test('only lib/native loads the addon', () => {
  const loaders = ts.filter(({ text }) => /createRequire|process\.dlopen|\.node['"`]/.test(text));
  expect(loaders.length).toBeGreaterThan(0);
  expect(loaders.map(({ name }) => name).filter((name) => !name.startsWith('lib/native/'))).toEqual([]);
});

test('nothing in the library imports the command line, and only the command line imports the index', () => {
  const broken = ts
    .filter(({ name }) => !name.startsWith('lib/cli/'))
    .flatMap((file) =>
      importsOf(file)
        .filter((target) => target.startsWith('lib/cli/') || target === 'lib/index.js')
        .map((target) => `${file.name} imports ${target}`),
    );
  expect(broken).toEqual([]);
});

test('the rooms of the library import each other without a cycle', () => {
  const roomOf = (name: string) => /^lib\/(\w+)\//.exec(name)?.[1];
  const arrows = new Map<string, Set<string>>();
  for (const file of ts) {
    const from = roomOf(file.name);
    if (from === undefined) continue;
    for (const target of importsOf(file)) {
      const to = roomOf(target);
      if (to !== undefined && to !== from) arrows.set(from, (arrows.get(from) ?? new Set()).add(to));
    }
  }
  const cycles: string[] = [];
  const visit = (room: string, trail: readonly string[]): void => {
    if (trail.includes(room)) {
      cycles.push([...trail.slice(trail.indexOf(room)), room].join(' -> '));
      return;
    }
    for (const next of arrows.get(room) ?? []) visit(next, [...trail, room]);
  };
  for (const room of arrows.keys()) visit(room, []);
  expect(cycles).toEqual([]);
});
