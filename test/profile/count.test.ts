// What the profiler costs when it is off, in instructions: counted one by one by the processor's trap flag, in a round of the bundled
// model, with the addon as it is and with one whose profiler is compiled away. Program::run and all that it calls is counted, on the
// executor thread; one thread, so that all of a round is there.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, test } from 'vitest';
import { fullTier } from '../kit/tier.js';

const run = promisify(execFile);
const folder = mkdtempSync(path.join(os.tmpdir(), 'hyper-bagel-count-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const built = path.resolve('build/Release/hyper_bagel.node');

const full = fullTier(100, 'counting instructions, with an addon that is compiled for it');
const unable =
  process.platform !== 'linux' || process.arch !== 'x64'
    ? 'the trap flag is one of x86-64, set here as Linux has it'
    : undefined;
if (unable) console.log(`instructions are not counted: ${unable}`);

/** Where Program::run begins in an addon. */
async function offsetOf(addon: string): Promise<number> {
  const { stdout } = await run('nm', [addon], { maxBuffer: 64 << 20 });
  const [, address] = /^([0-9a-f]+) \w _ZN2hb7Program3runE\w+$/m.exec(stdout) ?? [];
  if (address === undefined) throw new Error(`${addon} has no Program::run`);
  return Number.parseInt(address, 16);
}

interface Command {
  directory: string;
  file: string;
  command: string;
}

/** The addon again, with every file that asks the profiler compiled without it. */
async function withoutProfiler(): Promise<string> {
  const commands = JSON.parse(readFileSync('build/compile_commands.json', 'utf8')) as Command[];
  const asking = ['dispatch', 'program', 'context'].map((name) => path.resolve(`csrc/runtime/${name}.cpp`));
  const objects: string[] = [];
  for (const { command, file, directory } of commands.filter((c) => asking.includes(c.file))) {
    const object = path.join(folder, `${path.basename(file)}.o`);
    await run('sh', ['-c', command.replace(/ -o \S+ /, ` -DHB_WITHOUT_PROFILER -o ${object} `)], { cwd: directory });
    objects.push(object);
  }
  expect(objects).toHaveLength(asking.length);
  const bindings = commands
    .filter(({ file }) => file.startsWith(path.resolve('bindings')))
    .map(({ command, directory }) => path.resolve(directory, / -o (\S+) /.exec(command)?.[1] ?? ''));
  const addon = path.join(folder, 'hyper_bagel.node');
  const flags = ['-static-libstdc++', '-static-libgcc', '-Wl,--exclude-libs,ALL,-z,nodelete,--gc-sections'];
  const libraries = ['build/libhb_core.a', '-lpthread', '-ldl'];
  await run('g++', ['-shared', '-o', addon, ...bindings, ...objects, ...flags, ...libraries]);
  return addon;
}

describe.skipIf(!full || unable)('off', () => {
  test('is below 1 % of the instructions of a round', { timeout: 300_000 }, async () => {
    const stepper = path.join(folder, 'stepper.node');
    const headers = ['-I', 'node_modules/node-api-headers/include'];
    await run('gcc', ['-O2', '-shared', '-fPIC', ...headers, '-o', stepper, 'test/profile/count/stepper.c']);
    const count = async (addon: string): Promise<number> => {
      const args = ['test/profile/count/child.mjs', stepper, String(await offsetOf(addon))];
      const env = { ...process.env, HYPER_BAGEL_ADDON_PATH: addon };
      const { counts } = JSON.parse((await run(process.execPath, args, { env })).stdout) as { counts: number[] };
      expect(counts).toHaveLength(1);
      return counts[0] as number;
    };
    const on = await count(built);
    const without = await count(await withoutProfiler());
    const cost = on / without - 1;
    console.log(
      `a round takes ${on} instructions, ${without} without a profiler: it costs ${(100 * cost).toFixed(4)} %`,
    );
    expect(without).toBeGreaterThan(100_000); // it did count a round
    expect(cost).toBeGreaterThan(-0.001); // what else may differ is noise
    expect(cost).toBeLessThan(0.01);
  });
});
