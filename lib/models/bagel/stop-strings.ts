/** Holds back text that may be the beginning of a stop string. */
export class StopStrings {
  #text = '';

  constructor(private readonly stops: readonly string[]) {}

  /** Text that is safe to show, and whether a stop string was met. */
  push(text: string): { text: string; stopped: boolean } {
    this.#text += text;
    const found = this.stops.map((s) => this.#text.indexOf(s)).filter((at) => at >= 0);
    if (found.length > 0) return { text: this.#text.slice(0, Math.min(...found)), stopped: true };
    let held = 0;
    for (const stop of this.stops) {
      for (let n = Math.min(stop.length - 1, this.#text.length); n > held; n--) {
        if (this.#text.endsWith(stop.slice(0, n))) held = n;
      }
    }
    const safe = this.#text.slice(0, this.#text.length - held);
    this.#text = this.#text.slice(this.#text.length - held);
    return { text: safe, stopped: false };
  }

  flush(): string {
    return this.#text;
  }
}
