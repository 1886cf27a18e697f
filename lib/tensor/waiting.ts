import { DISTANCES, type NativeContext, type NativeRecord } from '../native/addon.js';

/** A turn of the event loop that takes longer had something else to do, which shall not wait for us. */
const IDLE_TURN_MS = 0.005;

/** What was emitted on a channel and is not taken yet. */
interface Inbox {
  records: NativeRecord[];
  /** Somebody else found records for it. */
  told: () => void;
}

/**
 * How JavaScript waits for a context: for the ends of jobs, and for what they emit. What is near it looks out for itself, with a turn
 * of the event loop between looks, as a thread that sleeps would hear of it a tenth of a millisecond late; for what is far a thread
 * of libuv waits.
 */
export class Waiting {
  readonly #native: NativeContext;
  readonly #inboxes = new Map<number, Inbox>();
  #channels = 0;

  constructor(native: NativeContext) {
    this.#native = native;
  }

  /** Resolves once the job with this ticket is done. @throws HyperBagelError DISPOSED */
  async until(ticket: number): Promise<void> {
    await this.#approach(ticket);
  }

  openChannel(): number {
    const channel = this.#channels++;
    this.#inboxes.set(channel, { records: [], told: () => {} });
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
        if (to !== inbox) to?.told();
      }
      if (!inbox || inbox.records.length > 0 || done) return inbox?.records.splice(0) ?? [];
    }
  }

  /** Until a job is done, or with an inbox until that or the context's ring has something. */
  async #approach(ticket: number, inbox?: Inbox): Promise<void> {
    for (;;) {
      const start = performance.now();
      // also where there is nothing to wait for: whoever asks again and again leaves the event loop its turns
      await new Promise<void>((resolve) => setImmediate(resolve));
      if (inbox && inbox.records.length > 0) return;
      const idle = performance.now() - start < IDLE_TURN_MS;
      const distance = DISTANCES[this.#native.lookOut(ticket, inbox !== undefined, idle)];
      if (distance === 'over') return;
      if (distance === 'near') continue;
      const approached = this.#native.approach(ticket, inbox !== undefined);
      await (inbox
        ? Promise.race([
            approached,
            new Promise<void>((resolve) => {
              inbox.told = resolve;
            }),
          ])
        : approached);
    }
  }
}
