// What stands on a tile of a grid: since when its rank is silent, or what it waits for. Pure.

import type { Tile } from "../messages";

/** After so long without a new frame, a tile says so. */
const REST_MS = 5000;

/**
 * Returns what is wrong with a rank, or is waited for; empty if it plays.
 *
 * @param rest_ms How long ago its last new picture was made; null if it does not rest.
 * @param now_ms The time of day, in Unix time.
 */
export function noteOf(tile: Tile, rest_ms: number | null, now_ms: number): string {
  if (tile.silent_since !== undefined) return `silent since ${timeOfDay(tile.silent_since)}`;
  if (tile.text !== "") return tile.text;
  if (rest_ms === null || rest_ms < REST_MS) return "";
  return `no new frame since ${timeOfDay(now_ms - rest_ms)}`;
}

/** As in "12:03:10". */
function timeOfDay(unix_ms: number): string {
  return new Date(unix_ms).toTimeString().slice(0, 8);
}
