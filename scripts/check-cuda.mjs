// Static gates of the CUDA kernels, wherever nvcc is: every kernel file compiles for every architecture, nothing spills
// or lives in local memory, ptxas has no complaint, and no kernel needs over two registers more than its line in
// csrc/cuda/registers says. `--update` writes those files. Files whose sources have not changed since are not
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

/** Registers by kernel, and complaints. */
async function compile(nvcc, file, architecture, folder) {
  const object = path.join(folder, `${path.basename(file)}.${architecture}`);
  // The host's half is the same for every architecture.
  const kind = architecture === architectures[0] ? '-c' : '-cubin';
  const { status, output } = await run(nvcc.file, [
    ...flags,
    `-arch=${architecture}`,
    '-Xptxas=-v',
    kind,
    file,
    '-o',
    object,
  ]);
  if (status !== 0) return { registers: {}, complaints: [output.trim()] };
  const registers = {};
  const complaints = output.split('\n').filter((line) => /\bC75\d\d\b|warning/.test(line));
  const pattern =
    /Function properties for (\S+)\n\s+(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads\n[^\n]*Used (\d+) registers/g;
  for (const [, mangled, stack, stores, loads, used] of output.matchAll(pattern)) {
    const name = await readable(mangled);
    registers[name] = Number(used);
    if (Number(stack) + Number(stores) + Number(loads) > 0) {
      complaints.push(`${name}: ${stack} bytes of local memory, ${stores} spilled, ${loads} loaded back`);
    }
  }
  return { registers, complaints };
}

async function check(nvcc, file, folder) {
  const name = path.relative(root, file);
  const tableFile = path.join(tables, `${path.basename(file, '.cu')}.json`);
  const keepsTable = path.dirname(file) === path.join(root, 'csrc', 'cuda');
  const table = existsSync(tableFile) ? JSON.parse(readFileSync(tableFile, 'utf8')) : { registers: {} };
  const sources = hashOfSources(file);
  const fresh = keepsTable && table.sources === sources && table.nvcc === nvcc.version;
  if (fresh && !options.includes('--all')) return { name, complaints: [], skipped: true };

  const complaints = [];
  const found = {};
  for (const architecture of architectures) {
    const result = await compile(nvcc, file, architecture, folder);
    complaints.push(...result.complaints.map((text) => `${architecture}: ${text}`));
    for (const [kernel, count] of Object.entries(result.registers)) {
      found[kernel] = { ...found[kernel], [architecture]: count };
    }
  }
  if (!keepsTable || complaints.length > 0) return { name, complaints };
  if (options.includes('--update')) {
    const sorted = Object.fromEntries(Object.entries(found).sort(([a], [b]) => (a < b ? -1 : 1)));
    mkdirSync(tables, { recursive: true });
    writeFileSync(tableFile, `${JSON.stringify({ nvcc: nvcc.version, sources, registers: sorted }, null, 2)}\n`);
    return { name, complaints };
  }
  for (const [kernel, counts] of Object.entries(found)) {
    for (const [architecture, count] of Object.entries(counts)) {
      const allowed = table.registers[kernel]?.[architecture];
      if (allowed === undefined)
        complaints.push(`${architecture}: ${kernel} uses ${count} registers and has no line in the table`);
      else if (count > allowed + tolerance)
        complaints.push(`${architecture}: ${kernel} uses ${count} registers, the table says ${allowed}`);
    }
  }
  for (const kernel of Object.keys(table.registers)) {
    if (!(kernel in found)) complaints.push(`${kernel} is in the table, but not in the file`);
  }
  if (complaints.length === 0 && !fresh)
    complaints.push('the table was made from other sources: see that it is as it should be, then --update');
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
