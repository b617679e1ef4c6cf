// Counts the pauses between frames that a person sees, as WebRTC's statistics do. Pure.

/** So many pauses make the usual one. */
const KEPT = 30;
const NOTICED_MS = 150;

export class FreezeCounter {
  #pauses_ms: readonly number[] = [];
  #last_ms: number | null = null;
  #n = 0;

  get n(): number {
    return this.#n;
  }

  /** Takes note of a frame that was shown now. */
  see(now_ms: number): void {
    const pause_ms = this.#last_ms === null ? null : now_ms - this.#last_ms;
    this.#last_ms = now_ms;
    if (pause_ms === null) return;
    if (this.#isFreeze(pause_ms)) this.#n += 1;
    this.#pauses_ms = [...this.#pauses_ms.slice(1 - KEPT), pause_ms];
  }

  #isFreeze(pause_ms: number): boolean {
    const n = this.#pauses_ms.length;
    const usual_ms = this.#pauses_ms.reduce((sum, each) => sum + each, 0) / n;
    return n > 0 && pause_ms > Math.max(3 * usual_ms, usual_ms + NOTICED_MS);
  }
}
