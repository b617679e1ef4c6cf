import { describe, expect, test } from "vitest";

import { fit, layOut, shrink, tierOf, tiersOf } from "../../src/grid/layout";
import type { Tile } from "../../src/messages";

const TILE: Tile = { rank: 0, host: "node7", width: 320, height: 180, text: "" };
const tiles = (...ranks: number[]) => ranks.map((rank) => ({ ...TILE, rank }));
const shape = (n: number) => {
  const { columns, rows } = layOut(tiles(...Array.from({ length: n }, (_, rank) => rank)));
  return [columns, rows];
};

describe("the layout", () => {
  test("has as many columns as rows, or one more", () => {
    expect([1, 2, 3, 4, 5, 9, 12, 16, 64].map(shape)).toEqual([
      [1, 1],
      [2, 1],
      [2, 2],
      [2, 2],
      [3, 2],
      [3, 3],
      [4, 3],
      [4, 4],
      [8, 8],
    ]);
  });

  test("puts the ranks where they are told, row by row", () => {
    const { places, width, height } = layOut(tiles(2, 5, 7));
    expect([...places.keys()]).toEqual([2, 5, 7]);
    expect(places.get(7)).toEqual({ x: 0, y: 180, width: 320, height: 180 });
    expect([width, height]).toEqual([640, 360]);
  });

  test("gives each tile the room of the largest picture", () => {
    const { width, height } = layOut([
      { ...TILE, width: 100, height: 400 },
      { ...TILE, rank: 1, width: 640, height: 80 },
      { ...TILE, rank: 2, width: 0, height: 0 },
    ]);
    expect([width, height]).toEqual([1280, 800]);
  });

  test("keeps some room for pictures whose size nobody has said, and for no rank at all", () => {
    expect(layOut([{ ...TILE, width: 0, height: 0 }])).toMatchObject({ width: 320, height: 180 });
    expect(layOut([])).toMatchObject({ width: 320, height: 180, columns: 1, rows: 1 });
  });

  test("is as large for smaller pictures as they are, without gaps", () => {
    const layout = layOut([...tiles(0, 1, 2), { ...TILE, rank: 3, width: 323, height: 181 }]);
    const small = shrink(layout, 4);
    expect([small.width, small.height]).toEqual([161, 90]);
    const [first, second] = [small.places.get(0), small.places.get(1)];
    expect((first?.x ?? 0) + (first?.width ?? 0)).toBe(second?.x);
    expect((second?.x ?? 0) + (second?.width ?? 0)).toBe(small.width);
  });
});

describe("the canvas", () => {
  const canvas = (n: number, width: number, height: number) =>
    shrink(layOut(tiles(...Array(n).keys()).map((tile) => ({ ...tile, width, height }))), 4);

  test.each([
    [64, 16_384, 16_384],
    [256, 16_384, 16],
    [256, 1, 16_384],
    [1, 16_384, 1],
    [1, 1, 1],
  ])("of %i ranks of %i by %i is one that browsers draw on", (n, width, height) => {
    const size = canvas(n, width, height);
    expect(size.width * size.height).toBeLessThanOrEqual(4096 * 4096);
    expect(Math.max(size.width, size.height)).toBeLessThanOrEqual(16_384);
    expect(Math.min(size.width, size.height)).toBeGreaterThanOrEqual(1);
  });

  test("keeps its shape", () => {
    expect(canvas(64, 16_384, 8192)).toMatchObject({ width: 5792, height: 2896 });
  });
});

describe("the pictures' size", () => {
  const size = { width: 1280, height: 720 };

  test("is the smallest that fills so much of the screen", () => {
    expect([1280, 750, 640, 400, 320, 50].map((px) => tierOf(1280, px))).toEqual([
      1, 1, 2, 2, 4, 4,
    ]);
  });

  test("may be a little too small", () => {
    expect(tierOf(1280, 700)).toBe(2);
    expect(tierOf(1280, 352)).toBe(4);
  });

  test("is each rank's own: small pictures beside a large one stay whole", () => {
    const mixed = [{ ...TILE, ...size }, ...tiles(1, 2, 3)];
    const tiers = (shown_px: number) => [...tiersOf(layOut(mixed), mixed, shown_px).values()];
    expect(tiers(2560)).toEqual([1, 1, 1, 1]);
    expect(tiers(640)).toEqual([4, 1, 1, 1]);
    expect(tiers(320)).toEqual([4, 2, 2, 2]);
  });

  test("counts as far as its shape fills the tile", () => {
    const tall = { ...TILE, width: 360, height: 720 };
    const mixed = [{ ...TILE, rank: 1, ...size }, tall];
    expect(tiersOf(layOut(mixed), mixed, 1280).get(0)).toBe(2);
    expect(tiersOf(layOut(mixed), mixed, 2560).get(0)).toBe(1);
  });

  test("is that of the others where nothing is known of a rank yet", () => {
    const mixed = [
      { ...TILE, ...size },
      { ...TILE, rank: 1, width: 0, height: 0 },
    ];
    expect([...tiersOf(layOut(mixed), mixed, 640).values()]).toEqual([4, 4]);
  });

  test("is whole until it is known how wide the grid is", () => {
    expect([...tiersOf(layOut(tiles(0, 1)), tiles(0, 1), Infinity).values()]).toEqual([1, 1]);
  });
});

test("a picture is seen whole, in the middle of its tile", () => {
  const tile = { x: 320, y: 180, width: 320, height: 180 };
  expect(fit({ width: 640, height: 360 }, tile)).toEqual(tile);
  expect(fit({ width: 90, height: 90 }, tile)).toEqual({ x: 390, y: 180, width: 180, height: 180 });
});
