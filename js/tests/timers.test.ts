// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { after } from "../src/timers";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test.each([
  ["has fired", 1000, 1],
  ["is cancelled", 500, 0],
])("a timer that %s leaves nothing at a signal that lives on", (_name, passed_ms, calls) => {
  const stop = new AbortController().signal;
  const kept = new Set<unknown>();
  vi.spyOn(stop, "addEventListener").mockImplementation((_type, listener) => kept.add(listener));
  vi.spyOn(stop, "removeEventListener").mockImplementation((_type, it) => kept.delete(it));
  const action = vi.fn();
  const cancel = after(1000, action, stop);
  expect(kept.size).toBe(1);
  vi.advanceTimersByTime(passed_ms);
  if (calls === 0) cancel();
  vi.advanceTimersByTime(1000);
  expect(action).toHaveBeenCalledTimes(calls);
  expect(kept.size).toBe(0);
});
