const SIGNALS = { SIGINT: 2, SIGTERM: 15 } as const;

const controller = new AbortController();
let status: number | undefined;

/**
 * From now on Ctrl-C and SIGTERM abort the returned signal instead of ending the process, so that nothing is left half written.
 * The second one ends the process at once.
 */
export function abortOnInterrupt(): AbortSignal {
  for (const [name, number] of Object.entries(SIGNALS)) {
    if (process.listenerCount(name) > 0) continue;
    process.on(name, () => {
      if (status !== undefined) process.exit(status);
      status = 128 + number;
      controller.abort(new Error(`interrupted by ${name}`));
    });
  }
  return controller.signal;
}

/** The exit status of an interrupted process, 128 + the signal's number; undefined when it was not interrupted. */
export function interruptStatus(): number | undefined {
  return status;
}
