// How a slider's handle stands for a number. Pure.

import type { Knob } from "../messages";

/** Of a slider without steps. */
const FINE = 1000;
/** Finer steps than this many cannot be told apart on a screen, but with the arrow keys. */
const MAX_STEPS = 10_000;

export class Scale {
  readonly low: number;
  /** The handle stands at 0 up to this. */
  readonly positions: number;
  readonly #high: number;
  readonly #step: number;
  readonly #is_log: boolean;

  constructor({ low, high, step, is_log }: Pick<Knob, "low" | "high" | "step" | "is_log">) {
    this.low = low;
    this.#high = high;
    this.#step = step;
    this.#is_log = is_log;
    const steps = step > 0 && !is_log ? Math.ceil((high - low) / step - 1e-9) : FINE;
    this.positions = Math.min(steps, MAX_STEPS);
  }

  /** Returns the number at a place of the handle. */
  value(position: number): number {
    const [low, high] = [this.low, this.#high];
    const share = position / this.positions;
    const value = this.#is_log ? low * (high / low) ** share : low + (high - low) * share;
    const rounded = this.#step > 0 ? this.#stepped(position, value) : Number(value.toPrecision(6));
    return Math.min(Math.max(rounded, low), high);
  }

  /** Returns the place that is nearest to a number. */
  position(value: number): number {
    const [low, high] = [this.low, this.#high];
    if (value >= high) return this.positions; // Whatever the last step is.
    const share = this.#is_log
      ? Math.log(value / low) / Math.log(high / low)
      : this.#is_whole
        ? (value - low) / (this.#step * this.positions)
        : (value - low) / (high - low);
    return Math.min(Math.max(Math.round(share * this.positions), 0), this.positions);
  }

  /** Whether each place is one step. */
  get #is_whole(): boolean {
    return this.#step > 0 && !this.#is_log && this.positions < MAX_STEPS;
  }

  #stepped(position: number, value: number): number {
    const [low, step] = [this.low, this.#step];
    const n = this.#is_whole ? position : Math.round((value - low) / step);
    return Number((low + n * step).toPrecision(12)); // 0.30000000000000004 is 0.3.
  }
}

/** Four digits, as Python's `:.4g`. */
export function valueText(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  const text = Number(value.toPrecision(4));
  const is_plain = text === 0 || (Math.abs(text) >= 1e-4 && Math.abs(text) < 1e6);
  return is_plain ? String(text) : text.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
}
