import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll } from 'vitest';

export interface Finished {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs the built command line as a user would, and waits for its end. Its stdout and stderr are pipes, never a terminal. */
export function cli(args: readonly string[], env: Record<string, string> = {}): Promise<Finished> {
  return start(args, env).finished;
}

/** As {@link cli}, with the running process at hand. */
export function start(args: readonly string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, ['dist/cli.js', ...args], {
    env: { ...cleanEnvironment(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const finished = new Promise<Finished>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => resolve({ status, stdout, stderr }));
  });
  return { child, finished };
}

/** The test runner's environment without what would change the command line's defaults. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('HYPER_BAGEL_')));
}

/** A folder for one test file, removed when its tests are done. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'hyper-bagel-cli-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
