import { describe, expect, test } from "vitest";

import { pieces, redact } from "../src/log";

const SDP = [
  "v=0",
  "a=ice-ufrag:vBx1",
  "a=ice-pwd:8r8ladGqUMPepjm84gowXp2h",
  "a=fingerprint:sha-256 84:52:FC:BC",
  "a=candidate:1 1 udp 1 203.0.113.10 10111 typ host generation 0 ufrag vBx1 network-cost 999",
  "",
].join("\r\n");

test("an SDP is logged unchanged except for what would let others in", () => {
  expect(redact(SDP).split("\r\n")).toEqual([
    "v=0",
    "a=ice-ufrag:...",
    "a=ice-pwd:...",
    "a=fingerprint:sha-256 ...",
    "a=candidate:1 1 udp 1 203.0.113.10 10111 typ host generation 0 ufrag ... network-cost 999",
    "",
  ]);
});

describe("a long text", () => {
  const lines = Array.from({ length: 300 }, (_, index) => `line ${index} `.padEnd(60, "."));

  test("is cut between lines, and nothing is lost", () => {
    const cut = pieces(lines.join("\r\n"));
    expect(cut.length).toBeGreaterThan(1);
    expect(Math.max(...cut.map(({ length }) => length))).toBeLessThanOrEqual(4096);
    expect(cut.join("\n").split("\n")).toEqual(lines);
  });

  test("has its overlong lines truncated", () => {
    expect(pieces("x".repeat(9999))).toEqual(["x".repeat(4000)]);
  });
});
