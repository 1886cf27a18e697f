import { HyperBagelError } from '../errors.js';
import type { DeviceInfo, NativeAddon, NativeContext, NativeDeviceOptions } from '../native/addon.js';

/** How the emulator of CUDA runs kernels: device `simt`, which the tests of this package build and no user has. */
export interface SimtOptions {
  /** Compute capability to be. Default: HYPER_BAGEL_SIMT_ARCH, else 90. */
  arch?: 80 | 90 | undefined;
  /** Order in which threads take turns; 0, the default, is in order. */
  seed?: number | undefined;
  /** Looks for races in shared memory. Default: true. */
  races?: boolean | undefined;
  /**
   * Work runs at once, on the executor, and device memory faults when touched outside of it. Without it, the default, work runs on
   * a thread of its own, later than the calls that queue it, as on a card.
   */
  guarded?: boolean | undefined;
  /** The piece of work with this number, from 1 on, fails: to see what becomes of the rest. */
  failsAt?: number | undefined;
}

export interface DeviceOptions {
  /** `auto` takes the best device that is there. Default: HYPER_BAGEL_DEVICE, else `auto`. */
  device?: 'auto' | 'cpu' | 'cuda' | 'simt' | undefined;
  /** Compute threads of the cpu backend. Default: HYPER_BAGEL_THREADS, else affinity and cgroup quota. */
  threads?: number | undefined;
  /** Instruction set of the cpu backend. Default: HYPER_BAGEL_ISA, else the best that the machine has. */
  isa?: string | undefined;
  /** @internal Of device `simt`. */
  simt?: SimtOptions | undefined;
}

function wrong(operand: string, expected: string, got: string): HyperBagelError {
  return new HyperBagelError('BAD_OPTION', `${operand} must be ${expected}, got ${got}`, { operand, expected, got });
}

function threadsOf(options: DeviceOptions): number {
  const text = process.env.HYPER_BAGEL_THREADS;
  const threads = options.threads ?? (text === undefined || text === '' ? 0 : Number(text));
  if (!Number.isInteger(threads) || threads < 0 || threads > 256) {
    throw wrong('threads', 'an integer from 1 to 256', `${threads}`);
  }
  return threads;
}

function simtOptions(options: SimtOptions = {}): NativeDeviceOptions {
  const arch = options.arch ?? Number(process.env.HYPER_BAGEL_SIMT_ARCH || 90);
  if (arch !== 80 && arch !== 90) throw wrong('arch', '80 or 90', `${arch}`);
  const { seed = 0, races = true, guarded = false, failsAt = 0 } = options;
  return { arch, seed, races, guarded, failsAt };
}

/** The card that `auto` takes, or the reason why there is none. */
async function findCard(native: NativeAddon): Promise<DeviceInfo | string> {
  try {
    return await native.probeDevice('cuda');
  } catch (error) {
    if (!HyperBagelError.isInstance(error)) throw error;
    return error.message;
  }
}

/** A context on the device that the options and the environment ask for, and why it is that one. */
export async function openContext(
  addon: NativeAddon,
  options: DeviceOptions,
): Promise<{ native: NativeContext; reason: string }> {
  const asked = options.device ?? (process.env.HYPER_BAGEL_DEVICE || 'auto');
  const threads = threadsOf(options);
  const isa = options.isa ?? process.env.HYPER_BAGEL_ISA ?? '';
  let device = asked;
  let reason = `device ${asked} was asked for`;
  if (asked === 'auto') {
    const card = await findCard(addon);
    device = typeof card === 'string' ? 'cpu' : 'cuda';
    reason = typeof card === 'string' ? card : `${card.name} is there`;
  } else if (asked === 'cuda') {
    await addon.probeDevice('cuda'); // starts the driver, which takes a while, off the JavaScript thread
  }
  const onDevice = device === 'simt' ? simtOptions(options.simt) : {};
  return { native: new addon.NativeContext(device, isa, threads, onDevice), reason };
}
