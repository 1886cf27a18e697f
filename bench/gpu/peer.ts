// The step that times PyTorch on the same work, where Python has it: bench/peers/torch_gpu.py.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { runProgram } from './checks.js';
import { matricesOf, rowCounts } from './kernels.js';
import { nothing, type Piece, type PieceResult, type Row, type Step } from './plan.js';
import { SEVEN_B, SMALL } from './shapes.js';

const SCRIPT = path.join('bench', 'peers', 'torch_gpu.py');
const PARTS = ['linear', 'attention', 'decode', 'round', 'denoise', 'vae'] as const;

/** PyTorch's version, or why there is none that can be used. */
export function findTorch(device: 'cuda' | 'simt'): { version: string } | { missing: string } {
  const ask = 'import torch; print(torch.__version__, torch.cuda.is_available())';
  const result = spawnSync('python3', ['-c', ask], { encoding: 'utf8', timeout: 120_000 });
  if (result.error) return { missing: `python3: ${result.error.message}` };
  if (result.status !== 0) return { missing: `python3 has no PyTorch: ${result.stderr.trim().split('\n').at(-1)}` };
  const [version = '', card] = result.stdout.trim().split(' ');
  if (device === 'cuda' && card !== 'True') return { missing: `PyTorch ${version} sees no card` };
  return { version };
}

/** One line of the script's output. */
type Answer = { name: string; case: string; samples: number[]; about: string };

export const torch: Step = {
  name: 'torch',
  about: 'PyTorch on the same work, if it is installed',
  async open(where) {
    const found = findTorch(where.device);
    if ('missing' in found) {
      const run = async () => ({ failures: [], skipped: found.missing });
      return { pieces: [{ name: 'all', limit: 1, run }], close: nothing };
    }
    const pieces = PARTS.map(
      (part): Piece => ({
        name: part,
        limit: 200,
        async run(): Promise<PieceResult> {
          const request = {
            device: where.device === 'cuda' ? 'cuda' : 'cpu',
            small: where.small,
            config: where.small ? SMALL : SEVEN_B,
            matrices: matricesOf(where),
            rows: rowCounts(where),
            contexts: where.small ? [16] : [1024, 8192],
            nodes: where.small ? [5] : [16, 64, 128],
          };
          const { status, output } = await runProgram('python3', [SCRIPT, part, JSON.stringify(request)], where.root);
          const lines = output.split('\n').filter((line) => line.startsWith('{"'));
          const answers = lines.map((line) => JSON.parse(line) as Answer);
          const tail = output.trim().split('\n').slice(-6).join('\n');
          if (status === 0 && answers.length === 0) return { failures: [], skipped: `it measured nothing: ${tail}` };
          // a peer that fails is no fault of this package
          if (status !== 0) return { failures: [], skipped: `it ended with ${status}: ${tail}` };
          return { failures: [], rows: answers.map((answer) => peerRow(answer, found.version)) };
        },
      }),
    );
    return { pieces, close: nothing };
  },
};

function peerRow(answer: Answer, version: string): Row {
  const sorted = [...answer.samples].sort((a, b) => a - b);
  const at = (p: number) => sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))] ?? Number.NaN;
  return {
    kind: answer.name === 'linear' || answer.name === 'paged_attention' ? 'op' : 'step',
    name: answer.name,
    case: answer.case,
    median: at(0.5),
    p10: at(0.1),
    p90: at(0.9),
    samples: sorted.length,
    flops: 0,
    bytes: 0,
    floor: null,
    bound: null,
    ratio: null,
    by: `PyTorch ${version}`,
    about: answer.about,
  };
}
