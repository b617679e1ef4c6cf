// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { after } from "../src/timers";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("a timer that has fired leaves no listener on its signal", () => {
  const stop = new AbortController().signal;
  const kept = new Set<unknown>();
  vi.spyOn(stop, "addEventListener").mockImplementation((_type, listener) => kept.add(listener));
  vi.spyOn(stop, "removeEventListener").mockImplementation((_type, it) => kept.delete(it));
  const action = vi.fn();
  after(1000, action, stop);
  expect(kept.size).toBe(1);
  vi.advanceTimersByTime(1000);
  expect(action).toHaveBeenCalledOnce();
  expect(kept.size).toBe(0);
});

test.each([0, 500])("a timer whose signal is aborted after %i ms does not fire", (passed_ms) => {
  const stop = new AbortController();
  const action = vi.fn();
  if (passed_ms === 0) stop.abort();
  after(1000, action, stop.signal);
  vi.advanceTimersByTime(passed_ms);
  stop.abort();
  expect(vi.getTimerCount()).toBe(0);
  vi.advanceTimersByTime(1000);
  expect(action).not.toHaveBeenCalled();
});
