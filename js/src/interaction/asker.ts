// Asks the kernel one question at a time, the newest first, and not too often.

import { after } from "../timers";

/** What is not answered by then is lost. */
const LOST_MS = 3000;

export interface AskerOptions<Question> {
  /** Asks; the answer carries the same number. */
  readonly ask: (question: Question, seq: number) => void;
  readonly gap_ms: number;
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

  /** Whether an answer is the one that is waited for. */
  expects(seq: number): boolean {
    return seq === this.#seq && this.#asked !== null;
  }

  #askSoon(): void {
    this.#wait.abort();
    if (this.#next === null) return;
    this.#wait = new AbortController();
    const stop = AbortSignal.any([this.#wait.signal, this.#options.stop]);
    const wait_ms = this.#asked_ms + this.#options.gap_ms - performance.now();
    after(Math.max(0, wait_ms), () => this.#askNow(stop), stop);
  }

  #askNow(stop: AbortSignal): void {
    if (this.#next === null) return;
    [this.#asked, this.#next] = [this.#next, null];
    this.#seq += 1;
    this.#asked_ms = performance.now();
    this.#options.ask(this.#asked, this.#seq);
    const giveUp = () => {
      this.#asked = null;
      this.#askSoon();
    };
    after(LOST_MS, giveUp, stop);
  }
}
