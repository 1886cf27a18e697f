import { DISTANCES, type NativeContext, type NativeRecord } from '../native/addon.js';

/** A turn of the event loop that takes longer had something else to do. */
const IDLE_TURN_MS = 0.005;
/** For so long after such a turn we only look, so that what else is to come does not wait for us. */
const QUIET_MS = 0.2;

/**
 * Who is told of what was far is mostly told by the event loop, so that others had their turns. But it may tell many things in one turn;
 * after so long there is one of its own. One costs some 40 us where the work has emptied the caches: as much as all else behind its end.
 */
const TOLD_MS = 10;

/** The real one, also where a test has put its own in its place since. */
const nextTurn = setImmediate;

/** What was emitted on a channel and is not taken yet. */
interface Inbox {
  records: NativeRecord[];
  /** To be called when somebody else has found records for it. */
  told: Set<() => void>;
}

/**
 * How JavaScript waits for a context: for the ends of jobs, and for what they emit. What is near it looks out for itself, with a turn
 * of the event loop between looks, as a thread that sleeps would hear of it a tenth of a millisecond late; of what is far the
 * context's own threads tell.
 */
export class Waiting {
  readonly #native: NativeContext;
  readonly #inboxes = new Map<number, Inbox>();
  #channels = 0;
  /** When the event loop last had something else to do, and when it last had a turn of its own. */
  #busyAt = 0;
  #turnedAt = 0;

  constructor(native: NativeContext) {
    this.#native = native;
  }

  /** Resolves once the job with this ticket is done. @throws HyperBagelError DISPOSED */
  until(ticket: number): Promise<void> {
    return this.#approach(ticket);
  }

  openChannel(): number {
    const channel = this.#channels++;
    this.#inboxes.set(channel, { records: [], told: new Set() });
    return channel;
  }

  closeChannel(channel: number): void {
    this.#inboxes.delete(channel);
  }

  /** Records of a channel since the last call: waits for at least one, or for the job with this ticket to end. @throws HyperBagelError DISPOSED */
  async receive(channel: number, ticket: number): Promise<NativeRecord[]> {
    const inbox = this.#inboxes.get(channel);
    for (;;) {
      const done = this.#native.completed() >= ticket;
      await this.#approach(done ? 0 : ticket, inbox);
      for (const record of this.#native.receive()) {
        const to = this.#inboxes.get(record.channel);
        to?.records.push(record);
        if (to && to !== inbox) for (const tell of to.told) tell();
      }
      if (!inbox || inbox.records.length > 0 || done) return inbox?.records.splice(0) ?? [];
    }
  }

  /** Until a job is done, or with an inbox until that or the context's ring has something. */
  async #approach(ticket: number, inbox?: Inbox): Promise<void> {
    for (let patient = false, waited = false; ; ) {
      const found = inbox !== undefined && inbox.records.length > 0;
      const distance = found ? 'over' : DISTANCES[this.#native.lookOut(ticket, inbox !== undefined, patient)];
      if (distance === 'far') {
        const approached = this.#native.approach(ticket, inbox !== undefined);
        if (approached) await (inbox ? soonerOf(approached, inbox.told) : approached);
        waited ||= approached !== undefined;
        patient = false;
        continue;
      }
      const start = performance.now();
      if (distance === 'over' && waited && start - this.#turnedAt < TOLD_MS) return;
      // also where there is nothing to wait for: whoever asks again and again leaves the event loop its turns
      await new Promise<void>((resolve) => nextTurn(resolve));
      const now = performance.now();
      this.#turnedAt = now;
      if (distance === 'over' || (inbox && inbox.records.length > 0)) return;
      waited = true;
      if (now - start > IDLE_TURN_MS) this.#busyAt = now;
      patient = now - this.#busyAt > QUIET_MS;
    }
  }
}

/** Resolves with the promise, or when it is told. */
async function soonerOf(promise: Promise<void>, told: Set<() => void>): Promise<void> {
  let tell = () => {};
  const telling = new Promise<void>((resolve) => {
    tell = resolve;
  });
  told.add(tell);
  try {
    await Promise.race([promise, telling]);
  } finally {
    told.delete(tell);
  }
}
