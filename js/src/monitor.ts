// Watches the picture of one connection: its figures while it plays, and whether it comes at all.

import type { Percentiles } from "./latency";
import type { Motion } from "./motion";
import { diff, type Figures, type Snapshot } from "./stats";
import { every } from "./timers";

const PERIOD_MS = 1000;
/** After so many seconds of a live stream without a decoded frame, the connection counts as lost. */
const MAX_SECONDS_WITHOUT_FRAME = 10;

export interface MonitorOptions {
  /** The connection's counters; null if there are none yet. */
  readonly read: () => Promise<Snapshot | null>;
  /** How old the picture is. */
  readonly latency: () => Percentiles | null;
  /** How fast the source is; null if the browser does not say. */
  readonly motion: () => Motion | null;
  readonly isPlaying: () => boolean;
  /** Whether the connection should bring its first frame by now. */
  readonly isFrameDue: () => boolean;
  readonly onFigures: (now: Snapshot, figures: Figures | null) => void;
  readonly onNoPicture: () => void;
  /** Ends with the connection. */
  readonly stop: AbortSignal;
}

export class Monitor {
  readonly #options: MonitorOptions;
  #before: Snapshot | null = null;
  #seconds_without_frame = 0;

  constructor(options: MonitorOptions) {
    this.#options = options;
    every(PERIOD_MS, () => void this.measure(), options.stop);
    every(PERIOD_MS, () => void this.#expectFrame(), options.stop);
  }

  /** Reports the figures of the time since the last call, if somebody can see them. */
  async measure(): Promise<void> {
    const { read, latency, motion, isPlaying, onFigures, stop } = this.#options;
    if (document.hidden || !isPlaying()) return;
    const now = await read();
    if (now === null || stop.aborted) return;
    onFigures(now, this.#before === null ? null : diff(this.#before, now, latency(), motion()));
    this.#before = now;
  }

  /** Gives up a connection that brings nothing to decode. A frame may be decoded but not shown. */
  async #expectFrame(): Promise<void> {
    const { read, isFrameDue, onNoPicture, stop } = this.#options;
    const decoded = isFrameDue() ? ((await read())?.decoded ?? 0) : 0;
    if (stop.aborted) return;
    const is_missing = isFrameDue() && decoded === 0;
    this.#seconds_without_frame = is_missing ? this.#seconds_without_frame + 1 : 0;
    if (this.#seconds_without_frame >= MAX_SECONDS_WITHOUT_FRAME) onNoPicture();
  }
}
