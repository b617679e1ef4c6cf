import { describe, expect, test } from "vitest";

import { detailRows, type Connection, type Details } from "../src/details";
import type { CandidatePair, PairedCandidate } from "../src/stats_report";

const end = (
  type: string,
  address: string,
  port: number,
  more: Partial<PairedCandidate> = {},
): PairedCandidate => ({
  type,
  address,
  port,
  protocol: "udp",
  relay_protocol: "",
  url: "",
  ...more,
});

const KERNEL = end("host", "203.0.113.10", 10111);
const pair = (changes: Partial<CandidatePair>): CandidatePair => ({
  local: end("host", "", 5000),
  remote: KERNEL,
  state: "waiting",
  is_selected: false,
  requests: 0,
  responses: 0,
  rtt_ms: null,
  ...changes,
});

const CONNECTION: Connection = {
  states: { connection: "new", ice: "new", gathering: "new" },
  facts: { policy: "all", servers: [], local: [], remote: [], problems: [], pairs: [] },
};

const NOTHING: Details = {
  view: "0123",
  connection: CONNECTION,
  carrier: null,
  webrtc_problem: null,
  figures: null,
  link: null,
  size: "",
};

/** Returns the panel as text, by row. */
function read(changes: Partial<Details>, facts: Partial<Connection["facts"]> = {}) {
  const connection = { ...CONNECTION, facts: { ...CONNECTION.facts, ...facts } };
  const rows = detailRows({ ...NOTHING, connection, ...changes });
  const lines = rows.map(
    ({ term, lines }) => [term, lines.map(({ text, note }) => `${text} | ${note}`)] as const,
  );
  return Object.fromEntries(lines);
}

test("an unknown fact has no row", () => {
  expect(Object.keys(read({}))).toEqual(["state"]);
  expect(read({}, { policy: "relay" })["state"]).toEqual([
    "connection new · ICE new · gathering new | relays only",
    "view 0123 | ",
  ]);
});

test("another carrier is the route, beside what keeps WebRTC from it", () => {
  const webrtc_problem = { problem: "no UDP", expected: "some", fix: "open a port" };
  const rows = read(
    { carrier: "socket", webrtc_problem },
    { pairs: [pair({ is_selected: true })] },
  );
  expect(rows).toMatchObject({
    route: ["WebSocket of the Jupyter server | "],
    WebRTC: ["no UDP | expected: some; try: open a port"],
  });
  expect(read({ carrier: "comm", connection: null })).toEqual({
    route: ["through the kernel's comm | "],
    state: ["view 0123 | "],
  });
});

test("the pair in use is the route", () => {
  const relay = { relay_protocol: "tcp", url: "turn:198.18.0.10:3478?transport=tcp" };
  const local = end("relay", "198.18.0.10", 49160, relay);
  const used = pair({ local, is_selected: true, state: "succeeded", rtt_ms: 12.4 });
  expect(read({}, { pairs: [used] })).toMatchObject({
    route: [
      "relay 198.18.0.10:49160 → host 203.0.113.10:10111 | " +
        "UDP, relay of turn:198.18.0.10:3478?transport=tcp over TCP, round trip 12 ms",
    ],
  });
});

const FIGURES = {
  fps: 29.9,
  rest_ms: null,
  dropped: 2,
  freezes: 0,
  bytes_per_s: 227_600,
  codec: "H264",
  decoder: "FFmpeg",
  transport: "direct",
  rtt_ms: 1,
  latency: { p50_ms: 21.4, p95_ms: 38.2 },
} as const;

test.each([
  [{ loss: 0.0042, tier: "half", quantiser: 34 }, "0.4% loss, half size, quantiser 34"],
  [{ loss: 0, tier: "" }, "0.0% loss"],
  [{ tier: "full", quantiser: 22 }, "full size, quantiser 22"],
])("the link is as the kernel's side knows it", (sent, note) => {
  const link = { estimate_bps: 3_410_000, ...sent };
  expect(read({ figures: FIGURES, link })["link"]).toEqual([`estimate 3.4 Mbit/s | ${note}`]);
});

test("the link's figures are not shown for a picture that stands still or is gone", () => {
  const link = { estimate_bps: 3_410_000, loss: 0, tier: "full" };
  expect(read({ figures: null, link })["link"]).toBeUndefined();
});

test("the picture's figures are those of the last second", () => {
  expect(read({ figures: FIGURES, size: "640×360" })["picture"]).toEqual([
    "H264 · FFmpeg · 640×360 | 30 fps, 228 kB/s, latency 21 ms (p95 38 ms), dropped frames: 2, freezes: 0 in the last second",
  ]);
});

describe("a pair that is not in use", () => {
  test.each([
    [{ state: "failed", requests: 12 }, "failed: requests 12, replies 0"],
    [{ state: "failed", requests: null, responses: null }, "failed"],
    [{ state: "in-progress", requests: 3, responses: 1 }, "being tried: requests 3, replies 1"],
    [{ state: "in-progress", requests: null }, "being tried"],
    [{ state: "waiting" }, "not tried yet"],
    [{ state: "frozen" }, "not tried yet"],
    [{ state: "succeeded", requests: 9 }, "works, but another pair is in use"],
    [{ state: "cancelled", requests: null }, "cancelled"],
  ])("has its reason: %j", (changes, reason) => {
    expect(read({}, { pairs: [pair(changes)] })["tried"]).toEqual([
      `host hidden:5000 → host 203.0.113.10:10111 | ${reason}`,
    ]);
  });
});

test("candidates, servers and problems are listed", () => {
  const own = {
    type: "host",
    address: "06a76f4d-6190.local",
    port: 1,
    protocol: "udp",
    component: 1,
  };
  const kernel = { ...own, address: "2001:db8::9", port: 10111 };
  const servers = [{ url: "stun:stun.example", note: "replied" }];
  const problem = { problem: "it is silent", expected: "a reply", fix: "start it" };
  const problems = [{ source: "turn", ...problem } as const];
  expect(read({}, { local: [own], remote: [kernel], servers, problems })).toMatchObject({
    "this browser": ["host 06a76f4d….local:1 | UDP"],
    "the kernel": ["host [2001:db8::9]:10111 | UDP"],
    servers: ["stun:stun.example | replied"],
    problems: ["it is silent | expected: a reply; try: start it"],
  });
});
