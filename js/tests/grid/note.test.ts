import { describe, expect, test } from "vitest";

import { noteOf } from "../../src/grid/note";
import type { Tile } from "../../src/messages";

const TILE: Tile = { rank: 0, host: "node7", width: 320, height: 180, text: "" };

describe("the note on a tile", () => {
  const now_ms = new Date(2026, 0, 2, 12, 3, 20).getTime();
  const silent_since = now_ms - 10_000;

  test("is empty while it plays", () => {
    expect(noteOf(TILE, null, now_ms)).toBe("");
    expect(noteOf(TILE, 4900, now_ms)).toBe("");
  });

  test("says since when there is no new frame", () => {
    expect(noteOf(TILE, 10_000, now_ms)).toBe("no new frame since 12:03:10");
  });

  test("says since when its worker is silent, before all else", () => {
    const tile = { ...TILE, silent_since, text: "waiting for its first frame" };
    expect(noteOf(tile, 60_000, now_ms)).toBe("silent since 12:03:10");
  });

  test("says what is wrong, or is waited for", () => {
    expect(noteOf({ ...TILE, text: "has not joined yet" }, null, now_ms)).toBe(
      "has not joined yet",
    );
  });
});
