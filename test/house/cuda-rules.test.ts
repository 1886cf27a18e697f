// The rules of csrc/cuda/README.md that a look at the text can check.
import { expect, test } from 'vitest';
import { sources } from './sources.js';

const kernels = sources(['csrc/cuda', 'csrc/simt/tests'], /\.(cu|cuh|h)$/).filter(
  ({ name }) => !name.startsWith('csrc/cuda/prim/') && name !== 'csrc/cuda/launch.h',
);

/** What may not stand in a kernel file, and where it belongs. */
const forbidden: readonly [RegExp, string][] = [
  [/\b(threadIdx|blockIdx|blockDim|gridDim)\b/, 'CUDA index: use thread_x() and its like'],
  [
    /\b__(syncthreads|syncwarp|shfl|ballot|any|all|match|reduce|activemask|threadfence|popc|clz|ffs|ldg)\w*\b/,
    'CUDA intrinsic',
  ],
  [/\b__\w+_(rn|rz|ru|rd)\b/, 'CUDA intrinsic: use add_rn() and its like'],
  [/\b__(global|device|host|shared|constant|launch_bounds)__/, 'CUDA qualifier: use HB_KERNEL and its like'],
  [/\batomic(Add|Max|Min|CAS|Exch|And|Or|Sub|Inc|Dec|Xor)\b/, 'CUDA atomic: use atomic_add() and its like'],
  [/<<<|>>>\s*\(/, 'launch: use launch()'],
  [/\basm\b/, 'inline assembly belongs in csrc/cuda/prim'],
  [/#\s*include\s*[<"](cuda_|cuda\.h|cub\/|cooperative_groups|mma\.h|curand|thrust)/, 'header of CUDA'],
  [/#\s*pragma\s+unroll/, 'use HB_UNROLL'],
];

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/\/\/[^\n]*/g, '');
}

test('kernel files keep to the rules', () => {
  expect(kernels.length).toBeGreaterThan(5);
  const broken = kernels.flatMap(({ name, text }) =>
    withoutComments(text)
      .split('\n')
      .flatMap((line, i) =>
        forbidden
          .filter(([pattern]) => pattern.test(line))
          // Tests of primitives reach a GPU's memory by its own calls.
          .filter(([, what]) => !(name.startsWith('csrc/cuda/conformance/') && what === 'header of CUDA'))
          .map(([, what]) => `${name}: ${line.trim() || i}: ${what}`),
      ),
  );
  expect(broken).toEqual([]);
});

test('every primitive stands in a test that runs on the emulator and on a GPU', () => {
  const bodies = sources(['csrc/cuda/prim'], /(nvidia|common|noise)\.h$/).map(({ text }) => withoutComments(text));
  const names = new Set(
    bodies.flatMap((text) =>
      [...text.matchAll(/^HB_DEVICE [\w:]+ (\w+)\(/gm)]
        .map((match) => match[1] as string)
        .filter(
          (name) =>
            !/^(shared_address|i?set1|zero|add|sub|mul|fma|vsqrt|vmax|select_lt|i(add|sub|and|xor)|sh[lr]|(as|to)_(int|float))$/.test(
              name,
            ),
        ),
    ),
  );
  expect(names.size).toBeGreaterThan(70);
  const tests = sources(['csrc/cuda/conformance'], /\.cu$/)
    .map(({ text }) => withoutComments(text))
    .join('\n');
  expect([...names].filter((name) => !new RegExp(`\\b${name}(<|\\()`).test(tests))).toEqual([]);
});
