// The last minute of a view in figures, and how it is drawn. Pure.

import type { Figures } from "./stats";

export const SPAN_MS = 60_000;
/** A longer time without figures is a gap: paused, hidden or lost. */
const GAP_MS = 2500;
/** Room above the highest value, so that the line is not cut. */
const HEADROOM = 1.12;

export interface Point {
  readonly at_ms: number;
  readonly value: number;
}

export interface Series {
  readonly name: string;
  /** Writes a value with its unit. */
  readonly write: (value: number) => string;
  /** The line's scale ends no lower, or noise would fill it. */
  readonly least_top: number;
  readonly read: (figures: Figures) => number | null;
}

export const SERIES: readonly Series[] = [
  {
    name: "frame rate",
    write: (fps) => `${fps.toFixed(0)} fps`,
    least_top: 10,
    read: ({ fps }) => fps,
  },
  {
    name: "bit rate",
    write: writeBitrate,
    least_top: 100_000,
    read: ({ bytes_per_s }) => bytes_per_s * 8,
  },
  {
    name: "latency",
    write: (ms) => `${ms.toFixed(0)} ms`,
    least_top: 50,
    read: ({ latency }) => latency?.p50_ms ?? null,
  },
];

/** Returns the points with one more, without those that are older than a minute. */
export function extend(points: readonly Point[], point: Point): readonly Point[] {
  return [...points.filter(({ at_ms }) => at_ms > point.at_ms - SPAN_MS), point];
}

/**
 * Returns the line as the `d` of an SVG path in a box of 60 by 1: a second each, the newest at the
 * right, zero at the bottom.
 */
export function linePath(points: readonly Point[], { least_top }: Series): string {
  const end_ms = points.at(-1)?.at_ms ?? 0;
  const top = HEADROOM * Math.max(least_top, ...points.map(({ value }) => value));
  return points
    .map(({ at_ms, value }, index) => {
      const before_ms = points[index - 1]?.at_ms ?? -Infinity;
      const x = (at_ms - end_ms + SPAN_MS) / 1000;
      return `${at_ms - before_ms > GAP_MS ? "M" : "L"}${x.toFixed(2)} ${(1 - value / top).toFixed(3)}`;
    })
    .join("");
}

/** Says what the line shows. */
export function describe(points: readonly Point[], { name, write }: Series): string {
  const values = points.map(({ value }) => value);
  const last = values.at(-1);
  if (last === undefined) return `${name}: not known`;
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return `${name}: ${write(last)}, ${write(low)} to ${write(high)} in the last minute`;
}

/** Says a rate in the unit that suits it. */
export function writeBitrate(bps: number): string {
  return bps < 1_000_000 ? `${(bps / 1000).toFixed(0)} kbit/s` : `${(bps / 1e6).toFixed(1)} Mbit/s`;
}
