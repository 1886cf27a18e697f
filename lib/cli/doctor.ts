import type { Command } from 'commander';
import { HyperBagelError } from '../errors.js';
import { addonInfo, Context, instructionSets, probeCard } from '../index.js';
import { version } from '../version.js';

interface DoctorReport {
  version: string;
  /** Version of Node. */
  node: string;
  /** Path of the native addon; null when it cannot be loaded. */
  addon: string | null;
  /** isa and threads are null when no cpu context can be made. `forced`: HYPER_BAGEL_ISA chose the instruction set. */
  cpu: { isa: string | null; forced: boolean; threads: number | null };
  /** The reason says what is missing. `card` and `driver` are there when it is available. */
  cuda: { available: boolean; reason: string; card?: string; driver?: string };
  /** What is wrong and what to do about it; absent when the cpu works. */
  problem?: string;
}

export function register(program: Command): void {
  program
    .command('doctor')
    .description('say what this installation can compute with, and what to do when it cannot')
    .option('--json', 'print one JSON object instead of text')
    .action(run);
}

async function run(flags: { json?: true }): Promise<void> {
  const report = await examine();
  process.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : describe(report));
}

async function examine(): Promise<DoctorReport> {
  const report: DoctorReport = {
    version,
    node: process.versions.node,
    addon: null,
    cpu: { isa: null, forced: Boolean(process.env.HYPER_BAGEL_ISA), threads: null },
    cuda: { available: false, reason: 'the native addon is not there' },
  };
  try {
    report.addon = addonInfo().file;
    report.cuda = await examineCuda();
    const context = await Context.create({ device: 'cpu' });
    report.cpu.isa = context.isa;
    report.cpu.threads = context.threads;
    await context.dispose();
  } catch (error) {
    if (!HyperBagelError.isInstance(error)) throw error;
    report.problem = error.message;
  }
  return report;
}

async function examineCuda(): Promise<DoctorReport['cuda']> {
  try {
    const { name, count, arch, driver } = await probeCard();
    const cards = count === 1 ? 'one card' : `the first of ${count} cards`;
    return { available: true, reason: `sm_${arch}, ${cards}, driver for CUDA ${driver}`, card: name, driver };
  } catch (error) {
    if (!HyperBagelError.isInstance(error)) throw error;
    return { available: false, reason: error.message };
  }
}

function describe({ addon, cpu, cuda, problem, ...report }: DoctorReport): string {
  const sets = addon === null ? [] : instructionSets().filter((set) => !set.model);
  const lines = [
    `hyper-bagel ${report.version}, Node ${report.node}`,
    `addon: ${addon ?? 'not there'}`,
    cpu.isa === null
      ? 'cpu:   not usable'
      : `cpu:   ${cpu.isa}${cpu.forced ? ' (forced by HYPER_BAGEL_ISA)' : ''}, ${cpu.threads} threads`,
    `cuda:  ${cuda.available ? `${cuda.card} (${cuda.reason})` : `not available: ${cuda.reason}`}`,
  ];
  if (sets.length > 0) {
    const listed = sets.map((set) => `${set.name}${set.available ? '' : ' (not on this machine)'}`);
    lines.push(`instruction sets of this build: ${listed.join(', ')}`);
  }
  if (problem !== undefined) lines.push('', problem);
  return `${lines.join('\n')}\n`;
}
