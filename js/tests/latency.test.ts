import { describe, expect, test } from "vitest";

import { Latency } from "../src/latency";

/** The media process's clock is so far ahead of the page's. */
const AHEAD_MS = 5_000_000;

const pong = (sent_ms: number, clock_ms: number) =>
  ({ type: "Pong", sent_ms, clock_ms, width: 0, height: 0 }) as const;

/** The RTP timestamp of a frame that was captured at a time on the page's clock. */
const captured = (at_ms: number, ahead_ms = AHEAD_MS) =>
  Math.floor((at_ms + ahead_ms) * 90) % 2 ** 32;

const frame = (captured_ms: number, shown_ms: number, ahead_ms = AHEAD_MS) => ({
  rtpTimestamp: captured(captured_ms, ahead_ms),
  expectedDisplayTime: shown_ms,
});

describe("the latency", () => {
  test("is unknown before a pong and before a frame", () => {
    const latency = new Latency();
    latency.see(frame(1000, 1030));
    expect(latency.recent).toBeNull();
    latency.hear(pong(1000, 1005 + AHEAD_MS), 1010);
    expect(latency.recent).toBeNull();
  });

  test("is the time from capture to screen, on two clocks", () => {
    const latency = new Latency();
    latency.hear(pong(1000, 1005 + AHEAD_MS), 1010);
    for (let number = 0; number < 100; number += 1) latency.see(frame(2000, 2001 + number));
    expect(latency.recent?.p50_ms).toBeCloseTo(50, 0);
    expect(latency.recent?.p95_ms).toBeCloseTo(95, 0);
  });

  test("believes the quickest of the last pongs", () => {
    const latency = new Latency();
    latency.hear(pong(1000, 1005 + AHEAD_MS), 1010);
    latency.hear(pong(2000, 2005 + AHEAD_MS), 2310); // The answer came 300 ms late.
    latency.see(frame(3000, 3030));
    expect(latency.recent?.p50_ms).toBeCloseTo(30, 0);
  });

  test("follows a clock that drifts: old pongs are forgotten", () => {
    const latency = new Latency();
    latency.hear(pong(0, 1 + AHEAD_MS), 2);
    for (let second = 1; second <= 10; second += 1) {
      latency.hear(pong(second * 1000, second * 1000 + 5 + AHEAD_MS + 100), second * 1000 + 10);
    }
    latency.see(frame(12_000, 12_040, AHEAD_MS + 100));
    expect(latency.recent?.p50_ms).toBeCloseTo(40, 0);
  });

  test("forgets frames after ten seconds", () => {
    const latency = new Latency();
    latency.hear(pong(1000, 1005 + AHEAD_MS), 1010);
    latency.see(frame(2000, 2900));
    latency.see(frame(13_000, 13_020));
    expect(latency.recent?.p95_ms).toBeCloseTo(20, 0);
  });

  test("survives the wrap-around of timestamps, and is never negative", () => {
    const ahead_ms = 2 ** 32 / 90 - 2010; // The timestamps begin again at 2010 ms.
    const latency = new Latency();
    latency.hear(pong(1000, 1005 + ahead_ms), 1010);
    latency.see(frame(2000, 2025, ahead_ms));
    expect(latency.recent?.p50_ms).toBeCloseTo(25, 0);
    latency.see(frame(2100, 2095, ahead_ms));
    expect(latency.recent?.p50_ms).toBe(0);
  });
});
