import { describe as group, expect, test } from "vitest";

import {
  describe,
  extend,
  linePath,
  SERIES,
  SPAN_MS,
  type Point,
  type Series,
} from "../src/figures_history";

const FPS = SERIES[0] as Series;
const points = (...values: number[]): Point[] =>
  values.map((value, index) => ({ at_ms: 1000 * index, value }));

test("a minute is kept, and no more", () => {
  const full = points(...Array<number>(60).fill(30));
  expect(extend(full, { at_ms: 60_000, value: 31 })).toHaveLength(60);
  expect(extend(full, { at_ms: 60_000 + SPAN_MS, value: 31 })).toHaveLength(1);
});

group("a line", () => {
  const at = (path: string) =>
    path.split(/(?=[ML])/).map((step) => [step[0], ...step.slice(1).split(" ").map(Number)]);

  test("ends at the right, and has zero at the bottom", () => {
    const path = at(linePath(points(0, 50, 100), FPS));
    expect(path.map(([kind, x]) => [kind, x])).toEqual([
      ["M", 58],
      ["L", 59],
      ["L", 60],
    ]);
    expect(path[0]?.[2]).toBe(1);
    expect(path[1]?.[2]).toBeGreaterThan(path[2]?.[2] as number);
    expect(path[2]?.[2]).toBeGreaterThan(0);
  });

  test("has a gap where there was no picture", () => {
    const later: Point = { at_ms: 10_000, value: 30 };
    expect(at(linePath([...points(30, 30), later], FPS)).map(([kind]) => kind)).toEqual([
      "M",
      "L",
      "M",
    ]);
  });

  test("is low where little happens: noise does not fill it", () => {
    expect(at(linePath(points(1, 1), FPS))[1]?.[2]).toBeGreaterThan(0.8);
  });

  test("of nothing is empty", () => {
    expect(linePath([], FPS)).toBe("");
  });
});

group("its text", () => {
  test("says what the line shows", () => {
    expect(describe(points(28, 31, 30), FPS)).toBe(
      "frame rate: 30 fps, 28 fps to 31 fps in the last minute",
    );
    expect(describe([], FPS)).toBe("frame rate: not known");
  });

  test.each([
    [640_000, "640 kbit/s"],
    [3_200_000, "3.2 Mbit/s"],
  ])("writes %i bit/s as %s", (bps, text) => {
    expect(SERIES[1]?.write(bps)).toBe(text);
  });
});
