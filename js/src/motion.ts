// How many pictures the source makes, and since when it rests, by the frames that are shown. Pure.
//
// A picture that stands still is sent again about once a second. Each repeat has the picture's
// number in its timestamp, see Note [picture number] in `gpuview/media/encode/timestamp.py`.

import type { ShownFrame } from "./latency";
import { PICTURES } from "./still_assembler";

/** The rate is that of the last seconds, or of the last few pictures of a slow source. */
const WINDOW_MS = 3000;
const FEW = 4;
/** After so long, or so many times the usual, without a new picture the source rests. */
const REST_MS = 3000;
const REST_PERIODS = 2.5;
const MAX_REST_MS = 30_000;
/** After so long without any frame nobody looked, or the link was broken. */
const GAP_MS = 2500;

export interface Motion {
  /** New pictures per second; 0 if the source rests, or that is not known yet. */
  readonly fps: number;
  /** How long ago the last new picture was made; null if the source does not rest. */
  readonly rest_ms: number | null;
}

interface Picture {
  /** Counts the pictures. */
  readonly n: number;
  readonly at_ms: number;
}

/** Follows the frames of one connection. */
export class PictureRate {
  #pictures: readonly Picture[] = [];
  #frame = { number: 0, at_ms: -Infinity };
  /** Whether the newest picture may be older than we know. */
  #is_first = true;

  see({ rtpTimestamp, expectedDisplayTime: at_ms }: ShownFrame): void {
    if (rtpTimestamp === undefined) return;
    const before = this.#frame;
    this.#frame = { number: rtpTimestamp % PICTURES, at_ms };
    const last = this.#pictures.at(-1);
    if (last === undefined || at_ms - before.at_ms > GAP_MS) return this.#begin(at_ms);
    const more = (this.#frame.number - before.number + PICTURES) % PICTURES;
    if (more === 0) return;
    const recent = this.#pictures.filter(
      (picture, index) => picture.at_ms > at_ms - WINDOW_MS || index > this.#pictures.length - FEW,
    );
    this.#pictures = [...recent, { n: last.n + more, at_ms }];
    this.#is_first = false;
  }

  /**
   * Returns how it stands now; null if the browser does not say which frames it shows.
   *
   * @param made_ms When the picture was made that was the newest when this view came; null if that
   *   is not known.
   */
  read(now_ms: number, made_ms: number | null): Motion | null {
    const [first, last] = [this.#pictures[0], this.#pictures.at(-1)];
    if (first === undefined || last === undefined) return null;
    if (now_ms - this.#frame.at_ms > GAP_MS) return { fps: 0, rest_ms: null };
    const newest_ms = this.#is_first ? Math.min(made_ms ?? Infinity, last.at_ms) : last.at_ms;
    if (this.#isRest(now_ms - newest_ms)) return { fps: 0, rest_ms: now_ms - newest_ms };
    const period_ms = this.#period_ms;
    return { fps: period_ms > 0 ? 1000 / period_ms : 0, rest_ms: null };
  }

  #begin(at_ms: number): void {
    this.#pictures = [{ n: 0, at_ms }];
    this.#is_first = true;
  }

  #isRest(duration_ms: number): boolean {
    const usual_ms = Math.min(REST_PERIODS * this.#period_ms, MAX_REST_MS);
    return duration_ms > Math.max(REST_MS, usual_ms);
  }

  /** Between two pictures; 0 if that is not known. */
  get #period_ms(): number {
    const [first, last] = [this.#pictures[0], this.#pictures.at(-1)];
    if (first === undefined || last === undefined || last.n === first.n) return 0;
    return (last.at_ms - first.at_ms) / (last.n - first.n);
  }
}

/** Follows the frames of one connection, in a grid of each rank. */
export class PictureRates {
  readonly #rates = new Map<number, PictureRate>();

  see(frame: ShownFrame, tile: number): void {
    const rate = this.#rates.get(tile) ?? new PictureRate();
    this.#rates.set(tile, rate);
    rate.see(frame);
  }

  /** Returns how the fastest of them stands now; see `PictureRate.read`. */
  read(now_ms: number, made_ms: number | null): Motion | null {
    const known = [...this.#rates.values()].map((rate) => rate.read(now_ms, made_ms));
    const moving = known.filter((motion) => motion !== null);
    return moving.reduce<Motion | null>((a, b) => (a === null || isFaster(b, a) ? b : a), null);
  }

  /** Returns how long ago the last new picture of one was made; null if it does not rest. */
  rest_ms(tile: number, now_ms: number): number | null {
    return this.#rates.get(tile)?.read(now_ms, null)?.rest_ms ?? null;
  }
}

function isFaster(a: Motion, b: Motion): boolean {
  return a.fps > b.fps || (a.fps === b.fps && (a.rest_ms ?? 0) < (b.rest_ms ?? 0));
}

/** As in "12 s", "3 min" or "2 h". */
export function spanText(duration_ms: number): string {
  const s = Math.floor(duration_ms / 1000);
  if (s < 100) return `${s} s`;
  return s < 6000 ? `${Math.floor(s / 60)} min` : `${Math.floor(s / 3600)} h`;
}

/** As in "30", or "0.5" of a slow source. */
export function rateText(fps: number): string {
  return fps < 1.75 ? fps.toFixed(1).replace(".0", "") : fps.toFixed(0);
}
