// Threads and memory by default: no more than control groups leave, wherever in the hierarchy a limit stands.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { loadAddon } from '../../lib/native/load.js';
import { systemMemory } from '../../lib/tensor/memory.js';
import { LIBRARY } from './child.js';

const folder = mkdtempSync(path.join(tmpdir(), 'hyper-bagel-cgroup-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const NO_LIMIT = '9223372036854771712'; // version 1's
let roots = 0;

/** A root folder with these files below it. */
function root(files: Record<string, string>): string {
  const at = path.join(folder, `${roots++}`);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.join(at, path.dirname(name)), { recursive: true });
    writeFileSync(path.join(at, name), `${text}\n`);
  }
  return at;
}

const V2_MOUNT = '30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate';
const v2 = (files: Record<string, string>, group = '/') =>
  root({
    'proc/self/cgroup': `0::${group}`,
    'proc/self/mountinfo': `22 1 8:1 / / rw - ext4 /dev/sda1 rw\n${V2_MOUNT}`,
    ...Object.fromEntries(Object.entries(files).map(([name, text]) => [`sys/fs/cgroup/${name}`, text])),
  });

const V1_MOUNTS = (
  at: string,
) => `31 30 0:27 ${at} /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 ${at} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory`;
const v1 = (files: Record<string, string>, group = '/', at = '/') =>
  root({
    'proc/self/cgroup': `9:name=systemd:/x\n4:memory:${group}\n3:cpu,cpuacct:${group}`,
    'proc/self/mountinfo': V1_MOUNTS(at),
    ...Object.fromEntries(Object.entries(files).map(([name, text]) => [`sys/fs/cgroup/${name}`, text])),
  });

const NONE = { cpus: null, memory: null, available: null };

describe('a system of files', () => {
  test.each<[string, () => string, object]>([
    ['no control groups', () => root({ 'proc/self/stat': '' }), NONE],
    ['version 2 without limits', () => v2({ 'cpu.max': 'max 100000', 'memory.max': 'max' }), NONE],
    ['half a processor', () => v2({ 'cpu.max': '50000 100000' }), { cpus: 0.5 }],
    ['another period', () => v2({ 'cpu.max': '75000 25000' }), { cpus: 3 }],
    [
      'the group of a service',
      () =>
        v2({ 'cpu.max': 'max 100000', 'system.slice/a.service/cpu.max': '150000 100000' }, '/system.slice/a.service'),
      { cpus: 1.5 },
    ],
    [
      'a group above it',
      () => v2({ 'a/cpu.max': '100000 100000', 'a/b/cpu.max': '400000 100000', 'a/c/cpu.max': '1 1000' }, '/a/b'),
      { cpus: 1 },
    ],
    [
      'memory: the limit without what is used, but for files',
      () => v2({ 'memory.max': '4000', 'memory.current': '1500', 'memory.stat': 'anon 900\ninactive_file 500' }),
      { memory: 4000, available: 3000 },
    ],
    [
      'memory.high below memory.max',
      () => v2({ 'memory.max': '4000', 'memory.high': '3000', 'memory.current': '1000' }),
      { memory: 3000, available: 2000 },
    ],
    [
      'the least that is left, on any level',
      () =>
        v2(
          { 'a/memory.max': '9000', 'a/memory.current': '8500', 'a/b/memory.max': '2000', 'a/b/memory.current': '100' },
          '/a/b',
        ),
      { memory: 2000, available: 500 },
    ],
    [
      'more than the limit is used',
      () => v2({ 'memory.max': '10', 'memory.current': '20' }),
      { memory: 10, available: 0 },
    ],
    [
      'version 1 without limits',
      () => v1({ 'cpu,cpuacct/cpu.cfs_quota_us': '-1', 'memory/memory.limit_in_bytes': NO_LIMIT }),
      NONE,
    ],
    [
      'version 1 with both',
      () =>
        v1({
          'cpu,cpuacct/cpu.cfs_quota_us': '250000',
          'cpu,cpuacct/cpu.cfs_period_us': '100000',
          'memory/memory.limit_in_bytes': '5000',
          'memory/memory.usage_in_bytes': '2000',
          'memory/memory.stat': 'inactive_file 1\ntotal_inactive_file 700',
        }),
      { cpus: 2.5, memory: 5000, available: 3700 },
    ],
    [
      'version 1 in a container: the mount shows its own group',
      () =>
        v1(
          { 'cpu,cpuacct/cpu.cfs_quota_us': '100000', 'cpu,cpuacct/cpu.cfs_period_us': '100000' },
          '/docker/abc',
          '/docker/abc',
        ),
      { cpus: 1 },
    ],
    [
      'version 1, a group below that of the container',
      () =>
        v1(
          { 'cpu,cpuacct/in/cpu.cfs_quota_us': '200000', 'cpu,cpuacct/in/cpu.cfs_period_us': '100000' },
          '/docker/abc/in',
          '/docker/abc',
        ),
      { cpus: 2 },
    ],
    [
      'a group outside of the namespace',
      () => v2({ 'cpu.max': '100000 100000', '../../secret/cpu.max': '1 1' }, '/../../secret'),
      { cpus: 1 },
    ],
    [
      'files that make no sense',
      () =>
        root({
          'proc/self/cgroup': 'x\n:::\n0::/\n0::relative\n4:memory:/',
          'proc/self/mountinfo': `- - -\n${V2_MOUNT}\n1 2 3 - cgroup`,
          'sys/fs/cgroup/cpu.max': '-5 nan',
          'sys/fs/cgroup/memory.max': '0x',
        }),
      { memory: 0 },
    ],
    [
      'a mount with a blank in its path',
      () =>
        root({
          'proc/self/cgroup': '0::/',
          'proc/self/mountinfo': '30 23 0:26 / /my\\040groups rw - cgroup2 none rw',
          'my groups/cpu.max': '100000 50000',
        }),
      { cpus: 2 },
    ],
  ])('%s', (_, make, expected) => {
    const at = make();
    const limits = loadAddon().cgroupLimits(at);
    expect(limits).toMatchObject({
      ...NONE,
      ...expected,
      available: (expected as typeof limits).available ?? limits.available,
    });
    const own = loadAddon().usableThreads(root({})); // by affinity alone
    expect(loadAddon().usableThreads(at)).toBe(Math.max(1, Math.min(own, Math.round(limits.cpus ?? own))));
  });

  test('memory that may still be taken', async () => {
    const meminfo = { 'proc/meminfo': 'MemTotal: 9000 kB\nMemAvailable:    5000 kB' };
    expect(await systemMemory(root(meminfo))).toBe(5000 * 1024);
    const limited = v2({ 'memory.max': '3000000', 'memory.current': '1000000' });
    mkdirSync(path.join(limited, 'proc'), { recursive: true });
    writeFileSync(path.join(limited, 'proc/meminfo'), meminfo['proc/meminfo']);
    expect(await systemMemory(limited)).toBe(2000000);
    const wide = v2({ 'memory.max': '3000000000' });
    writeFileSync(path.join(wide, 'proc/meminfo'), meminfo['proc/meminfo']);
    expect(await systemMemory(wide)).toBe(5000 * 1024);
  });
});

/** A group of this system that may be made, limited and entered; the reason when there is none. */
function makeGroup(
  controller: 'cpu' | 'memory',
  files: Record<string, string>,
): { group: string } | { reason: string } {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const line =
    mounts.find((l) => / - cgroup /.test(l) && l.split(' - ')[1]?.split(/[ ,]/).includes(controller)) ??
    mounts.find((l) => / - cgroup2 /.test(l));
  const point = line?.split(' ')[4];
  if (!point) return { reason: 'no control groups are mounted' };
  const group = path.join(point, `hyper-bagel-${process.pid}-${controller}`);
  try {
    mkdirSync(group);
  } catch (error) {
    return { reason: String(error) };
  }
  try {
    const known = Object.entries(files).filter(([name]) => existsSync(path.join(group, name)));
    if (known.length === 0) throw new Error(`${group} has no ${controller} controller`);
    for (const [name, text] of known) writeFileSync(path.join(group, name), text);
    execFileSync('sh', ['-c', `echo $$ > ${group}/cgroup.procs`], { stdio: 'pipe' });
    return { group };
  } catch (error) {
    rmdirSync(group);
    return { reason: String(error).split('\n')[0] as string };
  }
}

/** What a program prints that runs in a group; undefined, with the reason printed, where no group can be made. */
function inGroup(controller: 'cpu' | 'memory', files: Record<string, string>, program: string): unknown {
  const made = process.platform === 'linux' ? makeGroup(controller, files) : { reason: 'not Linux' };
  if (!('group' in made)) {
    console.log(`skipped: a real ${controller} group: ${made.reason}`);
    return undefined;
  }
  console.log(`ran in a real group: ${made.group}`);
  const source = `import { Bagel, Context } from ${JSON.stringify(LIBRARY)};\n${program}`;
  const enter = `echo $$ > "${made.group}/cgroup.procs" && exec "$0" "$@"`;
  try {
    const output = execFileSync('sh', ['-c', enter, process.execPath, '--input-type=module', '-e', source], {
      encoding: 'utf8',
      env: { ...process.env, HYPER_BAGEL_THREADS: '' },
    });
    return JSON.parse(output);
  } finally {
    rmdirSync(made.group);
  }
}

describe('a real group', () => {
  test('of one processor: one thread', { timeout: 60_000 }, () => {
    const result = inGroup(
      'cpu',
      { 'cpu.cfs_quota_us': '100000', 'cpu.max': '100000 100000' },
      `const cx = await Context.create({ device: 'cpu' });
      console.log(JSON.stringify({ threads: cx.threads }));
      await cx.dispose();`,
    );
    console.log(`outside of it: ${availableParallelism()} processors`);
    if (result !== undefined) expect(result).toEqual({ threads: 1 });
  });

  test('of 1 GB: what cannot fit is refused before it is allocated', { timeout: 60_000 }, () => {
    const program = `
      const load = (cacheTokens) =>
        Bagel.load(undefined, { device: 'cpu', cacheTokens }).then(
          async (bagel) => {
            await bagel.dispose();
            return 'loaded';
          },
          (error) => error.code,
        );
      const most = await Bagel.load(undefined, { device: 'cpu' });
      const { bytes } = most.memory();
      await most.dispose();
      console.log(JSON.stringify({ small: await load(1024), large: await load(500_000), fits: bytes < 1e9 }));`;
    const result = inGroup('memory', { 'memory.limit_in_bytes': '1000000000', 'memory.max': '1000000000' }, program);
    if (result !== undefined) expect(result).toEqual({ small: 'loaded', large: 'OUT_OF_MEMORY', fits: true });
  });
});
