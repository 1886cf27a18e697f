import { readFile } from 'node:fs/promises';
import os from 'node:os';
import { addon } from './context.js';

/**
 * Host memory that this process may still take, in bytes: what the system has available, cut to what its control groups leave.
 *
 * @param root goes before every path that is read: tests make a system of their own
 */
export async function systemMemory(root = ''): Promise<number> {
  let available = os.freemem();
  try {
    const match = /^MemAvailable:\s+(\d+) kB/m.exec(await readFile(`${root}/proc/meminfo`, 'utf8'));
    if (match) available = Number(match[1]) * 1024;
  } catch {
    // not Linux: the free memory it is
  }
  return Math.min(available, addon().cgroupLimits(root).available ?? available);
}
