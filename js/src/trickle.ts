// Trickle ICE: sends what this page gathers to the kernel, as long as it may help.

import type { Problem } from "./messages";
import type { Signalling } from "./signalling";
import { after, every } from "./timers";

/** Candidates come in bursts, and each message costs a notebook 25 ms or more. */
const BURST_MS = 50;
/** Messages get lost, so each is repeated. */
const REPEAT_MS = 400;
const REPEATS = 4;

export class Trickle {
  readonly #signalling: Signalling;
  readonly #stop: AbortSignal;
  #candidates: readonly string[] = [];
  #problems: readonly Problem[] = [];
  #sending = new AbortController();
  #repeats = REPEATS;
  #has_unsent = false;

  constructor(signalling: Signalling, stop: AbortSignal) {
    this.#signalling = signalling;
    this.#stop = stop;
  }

  /** Sends everything gathered so far, if it has changed. Call it only after the offer. */
  update(candidates: readonly string[], problems: readonly Problem[]): void {
    if (areEqual(candidates, this.#candidates) && areEqual(problems, this.#problems)) return;
    this.#candidates = [...candidates];
    this.#problems = [...problems];
    this.#start();
  }

  /** Sends everything once more, now that the kernel is known to listen. */
  resend(): void {
    if (this.#candidates.length > 0 || this.#problems.length > 0) this.#start();
  }

  /** Sends what has not been sent yet, before the connection is given up. */
  flush(): void {
    if (this.#has_unsent) this.#send();
  }

  /** Sends later updates only once, because the connection is there. */
  stopRepeating(): void {
    this.#repeats = 0;
    this.#sending.abort();
  }

  #start(): void {
    this.#sending.abort();
    this.#sending = new AbortController();
    const stop = AbortSignal.any([this.#stop, this.#sending.signal]);
    this.#has_unsent = true;
    after(BURST_MS, () => this.#sendRepeatedly(this.#repeats, stop), stop);
  }

  #sendRepeatedly(repeats: number, stop: AbortSignal): void {
    this.#send();
    let left = repeats;
    every(REPEAT_MS, () => (left-- > 0 ? this.#send() : this.#sending.abort()), stop);
  }

  #send(): void {
    this.#has_unsent = false;
    this.#signalling.sendCandidates(this.#candidates, this.#problems);
  }
}

function areEqual(one: readonly unknown[], other: readonly unknown[]): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
