// The engines to compare with, installed on demand from a lock file of their own.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** bench/ of the checkout whose bundle runs: .cache/bench lies two folders below its root. */
export const peerFolder = (): string => path.resolve(import.meta.dirname, '..', '..', 'bench');

const versions = (file: string): Record<string, string> => {
  const { packages } = JSON.parse(readFileSync(file, 'utf8')) as { packages: Record<string, { version?: string }> };
  return Object.fromEntries(
    Object.entries(packages).flatMap(([name, { version }]) => (name !== '' && version ? [[name, version]] : [])),
  );
};

/** True when what the lock file names is installed. */
export function peersInstalled(folder = peerFolder()): boolean {
  const have = path.join(folder, 'node_modules', '.package-lock.json');
  if (!existsSync(have)) return false;
  const installed = versions(have);
  return Object.entries(versions(path.join(folder, 'package-lock.json'))).every(([name, v]) => installed[name] === v);
}

/**
 * Installs the peers unless they are there. Of ONNX Runtime that is the package with its processor library only: the download of
 * its other parts, by a script of the package, is left out.
 *
 * @throws Error with npm's output
 */
export function installPeers(folder = peerFolder()): void {
  if (peersInstalled(folder)) return;
  const { status, stdout, stderr } = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' },
  });
  if (status !== 0) throw new Error(`installing the peers failed:\n${stdout ?? ''}${stderr ?? ''}`);
}
