import { describe, expect, test } from "vitest";

import { match, movedFrom, pngSize, StillAssembler } from "../src/still_assembler";
import { piece, png } from "./stills";

const TICKS = 2 ** 32;

describe("pieces", () => {
  test("make the still again", () => {
    const assembler = new StillAssembler();
    const whole = png(4, 2, 100);
    expect(assembler.take(piece(7, 100, 0, whole.slice(0, 60)))).toBeNull();
    expect(assembler.take(piece(7, 100, 60, whole.slice(60)))).toEqual({
      timestamp: 7,
      png: whole,
    });
  });

  test("of a still that is broken off are dropped when the next one begins", () => {
    const assembler = new StillAssembler();
    const whole = png(4, 2, 100);
    assembler.take(piece(7, 100, 0, whole.slice(0, 60)));
    expect(assembler.take(piece(9, 100, 0, whole))).toEqual({ timestamp: 9, png: whole });
    expect(assembler.take(piece(7, 100, 60, whole.slice(60)))).toBeNull();
  });

  test.each([
    ["too short", new ArrayBuffer(12)],
    ["beyond the end", piece(7, 10, 0, png(4, 2, 11))],
    ["not the next", piece(7, 100, 60, png(4, 2, 40))],
    ["of a still that is too large", piece(7, 2 ** 31, 0, png(4, 2, 40))],
  ])("that are %s are dropped", (_, bad) => {
    const assembler = new StillAssembler();
    expect(assembler.take(bad)).toBeNull();
    expect(assembler.take(piece(7, 30, 0, png(4, 2, 30)))?.png).toHaveLength(30);
  });
});

test("the size of a PNG is known before it is decoded, and must be reasonable", () => {
  expect(pngSize(png(640, 360, 24))).toEqual({ width: 640, height: 360 });
  expect(pngSize(png(2 ** 16, 2 ** 16, 24))).toBeNull();
  expect(pngSize(png(640, 360, 23))).toBeNull();
  expect(pngSize(new Uint8Array(100))).toBeNull();
});

test("a message about movement has a timestamp", () => {
  expect(movedFrom("moved 4294967295")).toBe(TICKS - 1);
  expect(movedFrom("moved")).toBeNull();
  expect(movedFrom("moved 12345678901")).toBeNull();
});

// Pictures have numbers modulo 32: a timestamp is of picture `timestamp % 32`.
describe("a still", () => {
  test.each([0, 1000, TICKS - 32])("fits the frames of its picture (from %d)", (still) => {
    expect(match(still, still, null)).toBe("same");
    expect(match(still, (still + 32 * 500) % TICKS, null)).toBe("same");
  });

  test.each([0, 1000, TICKS - 32])("waits for its picture (from %d)", (still) => {
    expect(match(still, (still - 32 + TICKS) % TICKS, null)).toBe("early");
    expect(match(still, (still - 3001 + TICKS) % TICKS, null)).toBe("early");
  });

  test.each([0, 1000, TICKS - 32])("goes with the next picture (from %d)", (still) => {
    expect(match(still, (still + 3001) % TICKS, null)).toBe("over");
  });

  test("goes with a later picture of the same number, because it is told", () => {
    expect(match(1000, 1000 + 32 * 500, 2000)).toBe("over");
    expect(match(1000, 1960, 2001)).toBe("same");
  });

  test("is not concerned by what was told of the picture before", () => {
    expect(match(1000, 1000 + 32, 1000)).toBe("same");
    expect(match(1000, 1000 + 32, 500)).toBe("same");
  });
});
