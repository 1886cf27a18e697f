// Static gates of the CUDA kernels, wherever nvcc is: every kernel file compiles for every architecture, ptxas has no
// complaint, and compared with its line in csrc/cuda/registers no kernel needs over two registers more or has lost its
// tensor core instructions. Nothing spills or lives in local memory, unless its line gives a reason, `why`.
// `--update` writes those files. Files whose sources have not changed since are not
// compiled again, unless asked for with `--all`. Words pick files by name.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { architectures, findNvcc, flags } from './nvcc.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const tables = path.join(root, 'csrc', 'cuda', 'registers');
const tolerance = 2;
const options = process.argv.slice(2).filter((word) => word.startsWith('--'));
const words = process.argv.slice(2).filter((word) => !word.startsWith('--'));

/** The file and everything of ours that it includes. */
function sourcesOf(file, seen = new Set()) {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const [, name] of readFileSync(file, 'utf8').matchAll(/^\s*#\s*include\s*"([^"]+)"/gm)) {
    const included = [path.join(root, 'csrc', name), path.join(path.dirname(file), name)].find(existsSync);
    if (included && !included.startsWith(path.join(root, 'csrc', 'simt'))) sourcesOf(included, seen);
  }
  return seen;
}

function hashOfSources(file) {
  const hash = createHash('sha256').update(flags.join(' '));
  for (const name of [...sourcesOf(file)].sort())
    hash.update(`\0${path.relative(root, name)}\0`).update(readFileSync(name));
  return hash.digest('hex').slice(0, 16);
}

function run(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (text) => (output += text));
    child.stderr.on('data', (text) => (output += text));
    child.on('error', reject);
    child.on('close', (status) => resolve({ status, output }));
  });
}

/** "rms_norm_kernel<float, unsigned short, true>": without namespaces, whose names hold a hash, and without arguments. */
async function readable(mangled) {
  const { output } = await run('c++filt', [mangled]);
  const name = output
    .trim()
    .replace(/^void /, '')
    .replace(/(\w+|\(anonymous namespace\))::/g, '');
  let depth = 0;
  const end = [...name].findIndex((c) => {
    depth += c === '<' ? 1 : c === '>' ? -1 : 0;
    return c === '(' && depth === 0;
  });
  return end < 0 ? name : name.slice(0, end);
}

/**
 * Tensor core instructions by mangled kernel name. A cubin is an ELF file with one section of code per kernel; an
 * instruction has 16 bytes, its low 12 bits are the opcode. (0x23c, found by counting on kernels whose number was known.)
 */
function tensorCoreInstructions(file) {
  const bytes = readFileSync(file);
  const sections = Number(bytes.readBigUInt64LE(0x28));
  const [size, count, names] = [0x3a, 0x3c, 0x3e].map((at) => bytes.readUInt16LE(at));
  const section = (i) => {
    const at = sections + i * size;
    return {
      name: bytes.readUInt32LE(at),
      offset: Number(bytes.readBigUInt64LE(at + 24)),
      length: Number(bytes.readBigUInt64LE(at + 32)),
    };
  };
  const strings = section(names).offset;
  const found = {};
  for (let i = 0; i < count; ++i) {
    const { name, offset, length } = section(i);
    const text = bytes.toString('latin1', strings + name, bytes.indexOf(0, strings + name));
    if (!text.startsWith('.text.')) continue;
    let instructions = 0;
    for (let at = offset; at < offset + length; at += 16)
      instructions += (bytes.readUInt16LE(at) & 0xfff) === 0x23c ? 1 : 0;
    found[text.slice('.text.'.length)] = instructions;
  }
  return found;
}

/** What ptxas says of each kernel, and complaints. */
async function compile(nvcc, file, architecture, folder) {
  const cubin = path.join(folder, `${path.basename(file)}.${architecture}`);
  const { status, output } = await run(nvcc.file, [
    ...flags,
    `-arch=${architecture}`,
    '-Xptxas=-v',
    '-cubin',
    file,
    '-o',
    cubin,
  ]);
  if (status !== 0) return { kernels: {}, complaints: [output.trim()] };
  const mma = tensorCoreInstructions(cubin);
  const kernels = {};
  const complaints = output.split('\n').filter((line) => /\bC75\d\d\b|warning/.test(line));
  const pattern =
    /Function properties for (\S+)\n\s+(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads\n[^\n]*Used (\d+) registers/g;
  for (const [, mangled, stack, stores, loads, registers] of output.matchAll(pattern)) {
    kernels[await readable(mangled)] = {
      registers: Number(registers),
      ...(mma[mangled] ? { mma: mma[mangled] } : {}),
      ...(Number(stack) + Number(stores) + Number(loads) > 0
        ? { local: Math.max(Number(stack), Number(stores), Number(loads)) }
        : {}),
    };
  }
  return { kernels, complaints };
}

/** What is wrong with a kernel, compared with its line in the table. */
function compare(found, wanted, why) {
  const complaints = [];
  if (found.local && !why)
    complaints.push(`has ${found.local} bytes in local memory, and its line in the table no reason "why"`);
  if (!wanted) return complaints;
  if (found.registers > wanted.registers + tolerance)
    complaints.push(`uses ${found.registers} registers, the table says ${wanted.registers}`);
  if ((found.local ?? 0) > (wanted.local ?? 0))
    complaints.push(`has ${found.local} bytes in local memory, the table says ${wanted.local ?? 0}`);
  if (wanted.mma && !found.mma) complaints.push('uses no tensor cores any more');
  return complaints;
}

async function check(nvcc, file, folder) {
  const name = path.relative(root, file);
  const tableFile = path.join(tables, `${path.basename(file, '.cu')}.json`);
  const keepsTable = path.dirname(file) === path.join(root, 'csrc', 'cuda');
  const table = existsSync(tableFile) ? JSON.parse(readFileSync(tableFile, 'utf8')) : { kernels: {} };
  const sources = hashOfSources(file);
  const fresh = keepsTable && table.sources === sources && table.nvcc === nvcc.version;
  if (fresh && !options.includes('--all')) return { name, complaints: [], skipped: true };

  const update = options.includes('--update');
  const complaints = [];
  const kernels = {};
  for (const architecture of architectures) {
    const result = await compile(nvcc, file, architecture, folder);
    complaints.push(...result.complaints.map((text) => `${architecture}: ${text}`));
    for (const [kernel, found] of Object.entries(result.kernels)) {
      const line = table.kernels[kernel];
      kernels[kernel] = { ...(line?.why ? { why: line.why } : {}), ...kernels[kernel], [architecture]: found };
      const wrong = compare(found, update ? undefined : line?.[architecture], line?.why);
      complaints.push(...wrong.map((text) => `${architecture}: ${kernel} ${text}`));
    }
  }
  if (!keepsTable) return { name, complaints };
  if (update) {
    // Written with complaints too: a reason has to stand in a line.
    const sorted = Object.fromEntries(Object.entries(kernels).sort(([a], [b]) => (a < b ? -1 : 1)));
    mkdirSync(tables, { recursive: true });
    writeFileSync(
      tableFile,
      `${JSON.stringify({ nvcc: nvcc.version, sources: complaints.length > 0 ? '' : sources, kernels: sorted }, null, 2)}\n`,
    );
    return { name, complaints };
  }
  for (const kernel of new Set([...Object.keys(kernels), ...Object.keys(table.kernels)])) {
    if (!table.kernels[kernel]) complaints.push(`${kernel} has no line in the table`);
    if (!kernels[kernel]) complaints.push(`${kernel} is in the table, but not in the file`);
  }
  if (complaints.length === 0 && !fresh)
    complaints.push('the table was made from other sources: see that all is well, then --update');
  return { name, complaints };
}

const nvcc = findNvcc();
if (!nvcc) {
  console.log('skipped: nvcc is not here');
} else {
  const list = (folder) =>
    readdirSync(path.join(root, folder))
      .filter((name) => name.endsWith('.cu'))
      .map((name) => path.join(root, folder, name));
  const queue = [...list('csrc/cuda'), ...list('csrc/cuda/conformance')]
    .filter((name) => words.length === 0 || words.some((word) => path.basename(name).includes(word)))
    .sort();
  const folder = mkdtempSync(path.join(os.tmpdir(), 'hyper-bagel-nvcc-'));
  let failed = 0;
  const worker = async () => {
    for (let file = queue.shift(); file; file = queue.shift()) {
      const { name, complaints, skipped } = await check(nvcc, file, folder);
      console.log(`${complaints.length > 0 ? 'not ok' : skipped ? 'unchanged' : 'ok'} ${name}`);
      for (const text of complaints) console.log(`  ${text.replaceAll('\n', '\n  ')}`);
      failed += complaints.length > 0 ? 1 : 0;
    }
  };
  await Promise.all(Array.from({ length: Math.min(4, os.availableParallelism()) }, worker));
  rmSync(folder, { recursive: true });
  process.exitCode = failed > 0 ? 1 : 0;
}
