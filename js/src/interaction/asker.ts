// Asks one question at a time, the newest first, and not too often. The kernel answers, or the
// media process.

import { after } from "../timers";

/** A question is lost if nothing of its answer has come for so long. */
const LOST_MS = 3000;

export interface AskerOptions<Question> {
  /** Asks; the answer carries the same number. */
  readonly ask: (question: Question, seq: number) => void;
  readonly gap_ms: number;
  /** Whether a question is asked again if it is lost, and there is no newer one. */
  readonly isRepeated?: (question: Question) => boolean;
  readonly stop: AbortSignal;
}

export class Asker<Question> {
  readonly #options: AskerOptions<Question>;
  #seq = 0;
  #asked: Question | null = null;
  #next: Question | null = null;
  #wait = new AbortController();
  #asked_ms = -Infinity;

  constructor(options: AskerOptions<Question>) {
    this.#options = options;
  }

  /** Asks this as soon as it may. */
  want(question: Question): void {
    this.#next = question;
    if (this.#asked === null) this.#askSoon();
  }

  /** Wants nothing more; a late answer is for nothing. */
  cancel(): void {
    [this.#asked, this.#next] = [null, null];
    this.#seq += 1;
    this.#wait.abort();
  }

  /** Returns the question that an answer belongs to; null if nobody waits for it. */
  answered(seq: number): Question | null {
    if (seq !== this.#seq || this.#asked === null) return null;
    const question = this.#asked;
    this.#asked = null;
    this.#askSoon();
    return question;
  }

  /** Takes note of a piece of an answer; returns whether it is of the one that is waited for. */
  hear(seq: number): boolean {
    if (seq !== this.#seq || this.#asked === null) return false;
    this.#expectMore();
    return true;
  }

  #askSoon(): void {
    this.#wait.abort();
    if (this.#next === null) return;
    const wait_ms = this.#asked_ms + this.#options.gap_ms - performance.now();
    this.#after(Math.max(0, wait_ms), () => this.#askNow());
  }

  #askNow(): void {
    if (this.#next === null) return;
    [this.#asked, this.#next] = [this.#next, null];
    this.#seq += 1;
    this.#asked_ms = performance.now();
    this.#options.ask(this.#asked, this.#seq);
    this.#expectMore();
  }

  #expectMore(): void {
    this.#after(LOST_MS, () => this.#giveUp());
  }

  #giveUp(): void {
    const lost = this.#asked;
    this.#asked = null;
    if (lost !== null && this.#options.isRepeated?.(lost)) this.#next ??= lost;
    this.#askSoon();
  }

  /** Waits for this and for nothing else. */
  #after(wait_ms: number, act: () => void): void {
    this.#wait.abort();
    this.#wait = new AbortController();
    after(wait_ms, act, AbortSignal.any([this.#wait.signal, this.#options.stop]));
  }
}
