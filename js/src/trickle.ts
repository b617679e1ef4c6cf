// Sends what this page gathers to the kernel, while it may still help.

import type { Problem } from "./messages";
import type { Signalling } from "./signal";
import { after, every } from "./timers";

/** Candidates come in bursts, and each message takes a notebook 25 ms and more. */
const GATHER_MS = 50;
/** Messages get lost, so each goes out again, at most so often. */
const REPEAT_MS = 400;
const REPEATS = 4;

export class Trickle {
  readonly #signalling: Signalling;
  readonly #stop: AbortSignal;
  #candidates: readonly string[] = [];
  #problems: readonly Problem[] = [];
  #sending = new AbortController();
  #repeats = REPEATS;
  #is_waiting = false;

  /** Begin after the offer: what is said is about the newest one. */
  constructor(signalling: Signalling, stop: AbortSignal) {
    this.#signalling = signalling;
    this.#stop = stop;
  }

  /** Says all that there is to say now, where it is more than before. */
  say(candidates: readonly string[], problems: readonly Problem[]): void {
    if (areAlike(candidates, this.#candidates) && areAlike(problems, this.#problems)) return;
    this.#candidates = [...candidates];
    this.#problems = [...problems];
    this.#begin();
  }

  /** Says it all once more: the kernel is known to listen now. */
  again(): void {
    if (this.#candidates.length > 0 || this.#problems.length > 0) this.#begin();
  }

  /** Says at once what is still to be said, as this is the end. */
  flush(): void {
    if (this.#is_waiting) this.#tell();
  }

  /** The connection is there: what is still said from now on is said once. */
  settle(): void {
    this.#repeats = 0;
    this.#sending.abort();
  }

  #begin(): void {
    this.#sending.abort();
    this.#sending = new AbortController();
    const stop = AbortSignal.any([this.#stop, this.#sending.signal]);
    this.#is_waiting = true;
    after(GATHER_MS, () => this.#send(this.#repeats, stop), stop);
  }

  #send(repeats: number, stop: AbortSignal): void {
    this.#tell();
    let left = repeats;
    every(REPEAT_MS, () => (left-- > 0 ? this.#tell() : this.#sending.abort()), stop);
  }

  #tell(): void {
    this.#is_waiting = false;
    this.#signalling.tellCandidates(this.#candidates, this.#problems);
  }
}

function areAlike(one: readonly unknown[], other: readonly unknown[]): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
