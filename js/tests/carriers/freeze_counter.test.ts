import { expect, test } from "vitest";

import { FreezeCounter } from "../../src/carriers/freeze_counter";

function countAt(...times_ms: number[]): number {
  const counter = new FreezeCounter();
  times_ms.forEach((time_ms) => counter.see(time_ms));
  return counter.n;
}

test("a pause that is far longer than usual is a freeze", () => {
  expect(countAt(0, 33, 66, 99, 300)).toBe(1);
});

test("neither the first frames nor a slow stream are", () => {
  expect(countAt(0, 5000)).toBe(0);
  expect(countAt(0, 33, 66, 240)).toBe(0);
  expect(countAt(0, 1000, 2000, 3100, 4900)).toBe(0);
});
