// Runs the fuzzer with the addon under AddressSanitizer and UndefinedBehaviorSanitizer, and the native code that reads files alone,
// both built by g++ in .cache/sanitized; or, with --libfuzzer, the latter under clang's libFuzzer. Building takes minutes. Node
// built-ins only. See test/hostile/README.md.
//   npm run fuzz:native [executions [first seed]]
//   npm run fuzz:native -- --libfuzzer [seconds]
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { findTools, onPath } from './build-addon.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const kept = path.join(root, '.cache', 'hostile-found');
const worker = path.join(root, '.cache', 'hostile', 'worker.js');
const target = path.join(root, 'test', 'hostile', 'libfuzzer.cpp');
/** Not vptr: it wants type information that the addon does not export; not alignment: x86-64 has none for what kernels load. */
const CHECKS = ['-g1', '-fno-omit-frame-pointer', '-fsanitize=address,undefined', '-fno-sanitize=vptr,alignment'];
/** The first report ends the process, so that the input which is at fault is known. */
const SANITIZERS = {
  // Node gives nothing back at its end; memory that cannot be had is an error of ours, not a finding
  ASAN_OPTIONS: 'detect_leaks=0:allocator_may_return_null=1:abort_on_error=1',
  UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
};

/** Why it cannot run here. */
class NotRun extends Error {}

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 64 << 20, ...options });
  if (result.error && result.error.code !== 'ETIMEDOUT') throw result.error;
  return result;
}

function must(command, args) {
  const { status, stdout, stderr } = run(command, args);
  if (status !== 0) throw new Error(`${command} failed\n${stdout}${stderr}`);
  return stdout.trim();
}

/** Builds a target of the CMake project in a folder of its own, with flags behind the build's own (-O1 behind its -O3). */
function build(folder, target, cxx, flags) {
  const require = createRequire(import.meta.url);
  const includes = [require('node-api-headers').include_dir, require('node-addon-api').include_dir];
  const launcher = path.join(folder, 'checked');
  const all = ['-O1', ...flags].join(' ');
  // Kernels are most of the compiler's time: left out in them is what AddressSanitizer sees where such a pointer is used. Nothing
  // here runs a software model of an instruction set.
  const text = `#!/bin/sh
for source; do :; done
case "$source" in
  */csrc/cpu/isa/*_model.cpp) exec "$@" -O0 ;;
  */csrc/cpu/isa/*.cpp) exec "$@" ${all} -fno-sanitize=null,object-size,pointer-overflow ;;
  *) exec "$@" ${all} ;;
esac
`;
  // make does not know what the launcher adds
  if (existsSync(launcher) && readFileSync(launcher, 'utf8') !== text) rmSync(folder, { recursive: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(launcher, text, { mode: 0o755 });
  must('cmake', [
    ...['-S', root, '-B', folder, '-DCMAKE_BUILD_TYPE=Release', `-DCMAKE_CXX_COMPILER=${cxx}`],
    `-DCMAKE_JS_INC=${includes.join(';')}`,
    `-DCMAKE_CXX_COMPILER_LAUNCHER=${launcher}`,
    '-DCMAKE_SHARED_LINKER_FLAGS=-fsanitize=address,undefined',
  ]);
  const jobs = Math.max(1, Math.min(8, os.availableParallelism()));
  must('cmake', ['--build', folder, '--target', target, '--parallel', String(jobs)]);
}

/** The target of native code as a program. */
function linkTarget(folder, cxx, flags) {
  const program = path.join(folder, 'native-target');
  const core = path.join(folder, 'libhb_core.a');
  must(cxx, [
    ...['-std=c++20', '-O1', ...flags, '-I', path.join(root, 'csrc')],
    ...[target, core, '-o', program, '-lpthread', '-ldl'],
  ]);
  return program;
}

/** Throws when a watched process reported anything; its input is kept. */
function mustBeClean(result, keep) {
  const reports = result.stderr.split('\n').filter((line) => /runtime error|ERROR: /.test(line));
  if (result.status === 0 && reports.length === 0) return;
  const how = result.error ? 'it did not end in time' : `status ${result.status}, signal ${result.signal}`;
  throw new Error(`${how}; ${keep()}\n${result.stderr.slice(-20_000)}`);
}

/** The fuzzer of test/hostile with the sanitized addon. */
function fuzzAddon(addon, preload, executions, first) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'hyper-bagel-fuzz-'));
  try {
    const env = { ...process.env, ...SANITIZERS, HYPER_BAGEL_ADDON_PATH: addon };
    const result = run(process.execPath, [worker, folder, String(first), String(executions)], {
      env: { ...env, LD_PRELOAD: preload, HB_FUZZ_MEMORY: 'off' },
      timeout: 300_000 + 500 * executions,
    });
    mustBeClean(result, () => {
      const at = path.join(folder, 'at');
      if (!existsSync(at)) return 'it could not begin';
      const { seed, target, file } = JSON.parse(readFileSync(at, 'utf8'));
      const to = path.join(kept, `${seed}-${path.basename(file)}`);
      copyFileSync(path.join(folder, file), to);
      return `seed ${seed}, ${target}, the file: ${to}; again: npm run fuzz:native 1 ${seed}`;
    });
    const { failures, ...summary } = JSON.parse(result.stdout);
    if (failures.length > 0) throw new Error(JSON.stringify(failures, null, 1));
    return summary;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** That the sanitizers are at work: each must report an error. */
function mustReport(folder, cxx) {
  const file = path.join(folder, 'faulty.cpp');
  const program = path.join(folder, 'faulty');
  writeFileSync(
    file,
    'int main(int n, char**) {\n  volatile int most = 0x7fffffff;\n  if (n > 1) return most + n;\n  volatile char* p = new char[8];\n  delete[] p;\n  return *p;\n}\n',
  );
  must(cxx, ['-O1', ...CHECKS, file, '-o', program]);
  for (const [args, report] of [
    [[], 'heap-use-after-free'],
    [['x'], 'signed integer overflow'],
  ]) {
    const { status, stderr } = run(program, args, { env: { ...process.env, ...SANITIZERS } });
    if (status === 0 || !stderr.includes(report)) throw new Error(`no report of a ${report}: ${stderr}`);
  }
}

function sanitized({ cxx }, executions, first) {
  if (process.platform !== 'linux') throw new NotRun('sanitizers are loaded into Node by LD_PRELOAD, as Linux has it');
  // clang's runtime is linked into programs, not loaded before them
  const preload = ['libasan.so', 'libubsan.so', 'libstdc++.so.6'].map((name) => {
    const file = must(cxx, [`-print-file-name=${name}`]);
    if (!path.isAbsolute(file)) throw new NotRun(`${cxx} has no ${name}`);
    return file;
  });
  if (!existsSync(worker)) throw new NotRun('the fuzzer is not built: run "npm run build" first');
  const folder = path.join(root, '.cache', 'sanitized');
  const start = performance.now();
  build(folder, 'hb_addon', cxx, CHECKS);
  mustReport(folder, cxx);
  const program = linkTarget(folder, cxx, [...CHECKS, '-DHB_RANDOM_INPUTS']);
  const built = performance.now();
  const inputs = 5 * executions;
  const input = path.join(kept, 'native-input');
  mustBeClean(
    run(program, [String(inputs), String(first), input], {
      env: { ...process.env, ...SANITIZERS },
      timeout: 60_000 + 20 * inputs,
    }),
    () => `the input: ${input}`,
  );
  rmSync(input);
  const alone = performance.now();
  const summary = fuzzAddon(path.join(folder, 'hyper_bagel.node'), preload.join(' '), executions, first);
  const seconds = (from, to) => `${((to - from) / 1000).toFixed(0)} s`;
  process.stdout.write(
    `built in ${seconds(start, built)}; ${inputs} inputs of native code alone in ${seconds(built, alone)}, ` +
      `${executions} executions in ${seconds(alone, performance.now())}: no report of either sanitizer\n` +
      `${JSON.stringify(summary)}\n`,
  );
}

function libFuzzer(seconds) {
  const cxx = onPath('clang++');
  if (!cxx) throw new NotRun('libFuzzer is part of clang, and there is no clang++ here');
  const folder = path.join(root, '.cache', 'libfuzzer');
  build(folder, 'hb_core', cxx, [...CHECKS, '-fsanitize=fuzzer-no-link']);
  const program = linkTarget(folder, cxx, [...CHECKS, '-fsanitize=fuzzer']);
  const corpus = path.join(folder, 'corpus');
  mkdirSync(corpus, { recursive: true });
  const args = [corpus, `-max_total_time=${seconds}`, '-max_len=4096', `-artifact_prefix=${kept}${path.sep}`];
  const result = run(program, args, { env: { ...process.env, ...SANITIZERS }, timeout: 1000 * (seconds + 60) });
  mustBeClean(result, () => `the input is in ${kept}`);
  process.stdout.write(`${result.stderr.trim().split('\n').at(-1)}: no report of either sanitizer\n`);
}

try {
  const tools = findTools();
  if (tools.missing) throw new NotRun(tools.missing);
  mkdirSync(kept, { recursive: true });
  const [first, second] = process.argv.slice(2);
  if (first === '--libfuzzer') libFuzzer(Number(second ?? 60));
  else sanitized(tools, Number(first ?? 5000), Number(second ?? 1));
} catch (error) {
  if (error instanceof NotRun) process.stdout.write(`not run: ${error.message}\n`);
  else {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
