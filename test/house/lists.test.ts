import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ERROR_CODES } from '../../lib/generated/error-codes.js';
import { rowsOf, sources } from './sources.js';

test('every environment variable in code or docs is in the one list', () => {
  const listed = new Set(rowsOf('csrc/core/env.def', 'HB_ENV'));
  expect(listed.size).toBeGreaterThan(0);
  const files = [
    ...sources(['lib', 'csrc', 'bindings', 'scripts', 'bench', 'docs', 'test'], /\.(ts|mjs|h|cpp|md|def)$/),
    ...['README.md', 'CMakeLists.txt', 'package.json', '.ci/run'].map((name) => ({
      name,
      text: readFileSync(name, 'utf8'),
    })),
  ];
  const unlisted = files.flatMap(({ name, text }) =>
    [...text.matchAll(/\bHYPER_BAGEL_[A-Z][A-Z_]*[A-Z]\b/g)]
      .filter(([variable]) => !listed.has(variable))
      .map(([variable]) => `${name}: ${variable}`),
  );
  expect(unlisted).toEqual([]);
});

test('the generated error codes are those of the one list, in its order', () => {
  expect([...ERROR_CODES]).toEqual(rowsOf('csrc/core/error_codes.def', 'HB_ERROR'));
});

const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };
const readme = readFileSync('README.md', 'utf8');

test('every path that the README names exists', () => {
  const links = [...readme.matchAll(/\]\(([^)\s#]+)[^)]*\)/g)].map((match) => match[1] as string);
  const quoted = [...readme.matchAll(/`([\w.@*/-]+)`/g)].map((match) => match[1] as string);
  const outputs = /^(dist|build|out|\.cache|node_modules|hyper-bagel|@[\w-]+)\//;
  const paths = [
    ...links.filter((link) => !/^[a-z]+:/.test(link)),
    ...quoted.filter((name) => /\/$|\.(md|ts|mjs|json|cpp|h|png|jpg|txt)$|^[\w.-]+\/[\w./-]+$/.test(name)),
  ].filter((name) => !outputs.test(name));
  expect(paths.length).toBeGreaterThan(0);
  expect(paths.filter((name) => !existsSync(name))).toEqual([]);
});

test('every npm script that the README names exists', () => {
  const named = [...readme.matchAll(/\bnpm (?:run ([\w:-]+)|(start|test)\b)/g)].map(
    (match) => match[1] ?? match[2] ?? '',
  );
  expect(named).toContain('start');
  expect(named).toContain('test');
  expect(named.filter((name) => !(name in manifest.scripts))).toEqual([]);
});
