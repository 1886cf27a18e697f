import { existsSync, readFileSync } from 'node:fs';
import { defineConfig, type Options } from 'tsup';

const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };

const common = {
  target: 'node20',
  platform: 'node',
  splitting: true,
  // Gives the CommonJS build an `import.meta.url`, by which the addon is found.
  shims: true,
  define: { __HYPER_BAGEL_VERSION__: JSON.stringify(version) },
  silent: true,
} satisfies Options;

const configs: Options[] = [
  {
    ...common,
    name: 'library and command line',
    entry: { index: 'lib/index.ts', cli: 'lib/cli/main.ts' },
    format: ['esm'],
    dts: { entry: { index: 'lib/index.ts' } },
    outDir: 'dist',
  },
  {
    ...common,
    name: 'library for require()',
    entry: { index: 'lib/index.ts' },
    format: ['cjs'],
    dts: true,
    outDir: 'dist',
  },
];

// The bench is never published, so it is not bundled into dist.
if (existsSync('bench/run.ts')) {
  configs.push({
    ...common,
    name: 'bench',
    entry: {
      run: 'bench/run.ts',
      compare: 'bench/compare.ts',
      worker: 'bench/worker/main.ts',
      gpu: 'bench/gpu/run.ts',
    },
    format: ['esm'],
    outDir: '.cache/bench',
    // CommonJS that looks for optional packages at run time
    external: ['benchmark'],
  });
}

// A test starts it in a process of its own.
if (existsSync('test/hostile/worker.ts')) {
  configs.push({
    ...common,
    name: 'fuzzer',
    entry: { worker: 'test/hostile/worker.ts' },
    format: ['esm'],
    outDir: '.cache/hostile',
  });
}

export default defineConfig(configs);
