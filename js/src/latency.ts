// How old the picture is when it reaches the screen. Pure.

import type { Pong } from "./messages";

/** RTP timestamps are the capture times of frames, at 90 ticks a millisecond, in 32 bits. */
const TICKS_PER_MS = 90;
const TICKS = 2 ** 32;
/** So many pongs are kept, and the quickest of them counts. */
const PONGS = 10;
/** So long a frame counts. */
const WINDOW_MS = 10_000;

export interface Percentiles {
  readonly p50_ms: number;
  readonly p95_ms: number;
}

/** What the browser says of a frame that it shows. */
export interface ShownFrame {
  /** Undefined if the browser does not say. */
  readonly rtpTimestamp?: number;
  /** On the page's clock. */
  readonly expectedDisplayTime: number;
}

/** Measures one connection. */
export class Latency {
  #pongs: readonly { readonly round_trip_ms: number; readonly ahead_ms: number }[] = [];
  #frames: readonly { readonly at_ms: number; readonly latency_ms: number }[] = [];

  /** Learns the media process's clock; `now_ms` is on the page's. */
  hear({ sent_ms, clock_ms }: Pong, now_ms: number): void {
    const round_trip_ms = now_ms - sent_ms;
    const ahead_ms = clock_ms - (sent_ms + now_ms) / 2;
    this.#pongs = [...this.#pongs.slice(1 - PONGS), { round_trip_ms, ahead_ms }];
  }

  /** Returns a time of the media process's clock on the page's; null if nothing is known of it. */
  onPage(clock_ms: number | null): number | null {
    const ahead_ms = this.#ahead_ms;
    return ahead_ms === null || clock_ms === null ? null : clock_ms - ahead_ms;
  }

  see({ rtpTimestamp, expectedDisplayTime: at_ms }: ShownFrame): void {
    const ahead_ms = this.#ahead_ms;
    if (rtpTimestamp === undefined || ahead_ms === null) return;
    const latency_ms = ticksSince(rtpTimestamp, (at_ms + ahead_ms) * TICKS_PER_MS) / TICKS_PER_MS;
    const recent = this.#frames.filter((frame) => frame.at_ms > at_ms - WINDOW_MS);
    this.#frames = [...recent, { at_ms, latency_ms: Math.max(0, latency_ms) }];
  }

  /** Of the frames of the last ten seconds; null if nothing is known. */
  get recent(): Percentiles | null {
    const sorted = this.#frames.map((frame) => frame.latency_ms).sort((a, b) => a - b);
    if (sorted.length === 0) return null;
    const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))] ?? 0;
    return { p50_ms: at(0.5), p95_ms: at(0.95) };
  }

  /** How far the media process's clock is ahead of the page's. */
  get #ahead_ms(): number | null {
    const [first, ...others] = this.#pongs;
    if (first === undefined) return null;
    return others.reduce((a, b) => (b.round_trip_ms < a.round_trip_ms ? b : a), first).ahead_ms;
  }
}

/** Returns `now` - `then`, both counted modulo 2^32; less than 0 if `then` is later. */
export function ticksSince(then: number, now: number): number {
  const since = (((now - then) % TICKS) + TICKS) % TICKS;
  return since < TICKS / 2 ? since : since - TICKS;
}
