import { spawn } from 'node:child_process';
import path from 'node:path';
import type { Command } from 'commander';
import { HyperBagelError } from '../errors.js';
import { addonInfo, packageRoot } from '../native/load.js';

/** Runs a build script of this package; everything it says goes to stderr. Resolves with its exit status. */
function runBuildScript(name: string): Promise<number> {
  const script = path.join(packageRoot(), 'scripts', name);
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [script], { stdio: ['ignore', process.stderr, process.stderr] });
    child.on('error', reject);
    child.on('exit', (code) => resolve(code ?? 1));
  });
}

export function register(program: Command): void {
  program
    .command('build')
    .description('build the native addon inside the installed package (needs g++ and cmake)')
    .option('--cuda', 'build the library for NVIDIA cards, too (needs nvcc)')
    .option('--json', 'print one JSON object')
    .action(async (options: { cuda?: true; json?: true }) => {
      // The scripts have already said what is wrong and what to install.
      if ((await runBuildScript('build-addon.mjs')) !== 0) {
        throw new HyperBagelError('BACKEND_MISSING', 'the native addon was not built');
      }
      if (options.cuda && (await runBuildScript('build-cuda.mjs')) !== 0) {
        throw new HyperBagelError('BACKEND_MISSING', 'the library for NVIDIA cards was not built; the addon was');
      }
      const info = addonInfo();
      process.stdout.write(options.json ? `${JSON.stringify(info)}\n` : `${info.file}\n`);
    });
}
