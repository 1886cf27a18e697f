import { spawn } from 'node:child_process';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

/** What became of a child process. */
export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  /** Milliseconds of the epoch. */
  at: number;
}

export const LIBRARY = pathToFileURL(path.resolve('dist/index.js')).href;

/** Runs an ES module in a Node process of its own; the library's main names are imported. A hang ends with SIGKILL. */
export function runChild(
  program: string,
  flags: readonly string[] = [],
  limitMs = 60_000,
  env: NodeJS.ProcessEnv = {},
): Promise<Ended> {
  const imports = `import { Bagel, Context, HyperBagelError, ops } from ${JSON.stringify(LIBRARY)};\n`;
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...flags, '--input-type=module', '-e', imports + program], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
      timeout: limitMs,
      killSignal: 'SIGKILL',
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data) => {
      stdout += data;
    });
    child.stderr.on('data', (data) => {
      stderr += data;
    });
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr, at: Date.now() }));
  });
}

/**
 * The same for a program that judges by its resident memory, with `gc` at hand. What is no growth but grows in steps of megabytes is
 * kept still: V8's young generation has its full size from the beginning, and glibc gives freed blocks of 64 KiB back to the system
 * at once (by itself it learns to keep ever larger ones).
 */
export function runMeasured(program: string, limitMs = 60_000): Promise<Ended> {
  const flags = ['--expose-gc', '--min-semi-space-size=16', '--max-semi-space-size=16'];
  return runChild(program, flags, limitMs, { MALLOC_MMAP_THRESHOLD_: '65536' });
}

/** Queues `count` products that take some 25 ms each on two cores. */
export const QUEUE = `
function queue(cx, count) {
  const x = cx.zeros('f32', [512, 2048]);
  const weight = cx.zeros('f32', [2048, 2048]);
  for (let i = 0; i < count; i++) ops.linear(cx, { x, weight }).dispose();
  return ops.linear(cx, { x, weight });
}
`;
