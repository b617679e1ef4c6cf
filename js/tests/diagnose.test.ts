import { describe, expect, test } from "vitest";

import type { Candidate } from "../src/candidate";
import { diagnose, type Facts } from "../src/diagnose";
import type { ConnectionProblem } from "../src/problems";
import type { CandidatePair } from "../src/stats_report";

const SILENT = { problem: "it has not replied", expected: "a reply", fix: "start it" };
const TURN = { url: "turn:turn.example", note: "" };
const STUN = { url: "stun:stun.example", note: "" };

const candidate = (type: string, address: string, port = 10111): Candidate => ({
  type,
  address,
  port,
  protocol: "udp",
  component: 1,
});
const failed = (source: ConnectionProblem["source"]) => ({ source, ...SILENT });

const HIDDEN = candidate("host", "06a76f4d.local");
const LAN = candidate("host", "192.168.77.2");
const FORWARDED = candidate("host", "203.0.113.10");
const OUTSIDE = candidate("srflx", "198.51.100.20");
const RELAY = candidate("relay", "198.18.0.10", 49160);

const END = { type: "host", address: "", port: 0, protocol: "udp", relay_protocol: "", url: "" };
const PAIR: CandidatePair = {
  local: END,
  remote: END,
  state: "failed",
  is_selected: false,
  requests: 12,
  responses: 0,
  rtt_ms: null,
};

/** A default Chromium without servers, and a kernel on another network with a closed port. */
const facts = (changes: Partial<Facts>): Facts => ({
  policy: "all",
  servers: [],
  local: [HIDDEN],
  remote: [FORWARDED],
  problems: [],
  pairs: [PAIR],
  ...changes,
});
const problem = (changes: Partial<Facts>) => diagnose(facts(changes)).problem;
const fix = (changes: Partial<Facts>) => diagnose(facts(changes)).fix;

describe("the kernel's address", () => {
  test("is private, and the browser is elsewhere", () => {
    expect(diagnose(facts({ remote: [LAN, candidate("host", "10.1.2.3")] }))).toEqual({
      problem:
        "the kernel offers only private addresses (192.168.77.2, 10.1.2.3), which this browser cannot reach",
      expected: "an address of the kernel that can be reached from outside its network",
      fix: "set GPUVIEW_PUBLIC_IP to that address, or GPUVIEW_TURN_URL to a TURN server",
    });
  });

  test("is private, and a relay of the browser's does not help", () => {
    const relayed = { remote: [LAN], local: [HIDDEN, RELAY], servers: [TURN] };
    expect(fix(relayed)).toBe("set GPUVIEW_PUBLIC_IP to that address");
  });

  test("is private, and the browser is on that network: a firewall", () => {
    const local = [candidate("host", "192.168.77.30")];
    expect(problem({ remote: [LAN], local })).toBe("no reply came from 192.168.77.2:10111");
  });

  test("is public, but its port is not forwarded", () => {
    expect(problem({})).toBe("no reply came from 203.0.113.10:10111");
    expect(fix({})).toMatch("forward UDP port 10111 to the kernel's machine");
  });

  test("is one of many, and the message names some of them", () => {
    const remote = [1, 2, 3, 4, 5].map((port) => candidate("host", "2001:db8::9", port));
    expect(problem({ remote })).toBe(
      "no reply came from [2001:db8::9]:1, [2001:db8::9]:2, [2001:db8::9]:3 and 2 more",
    );
  });

  test("is missing, for a reason that the kernel has told or not", () => {
    expect(fix({ remote: [] })).toMatch("gpuview doctor");
    expect(problem({ remote: [], problems: [failed("kernel")] })).toBe(
      "no video connection came up: it has not replied",
    );
  });

  test("would have come from a server that failed", () => {
    const problems = [failed("kernel")];
    expect(problem({ remote: [LAN], problems })).toMatch("it has not replied");
    expect(problem({ remote: [FORWARDED], problems })).toMatch("no reply came from");
  });
});

describe("a TURN server", () => {
  test("that failed is named before any other cause", () => {
    for (const remote of [[LAN], [FORWARDED], [OUTSIDE]]) {
      const problems = [failed("turn")];
      expect(diagnose(facts({ remote, problems, servers: [TURN] }))).toEqual({
        ...SILENT,
        problem: "no video connection came up: it has not replied",
      });
    }
  });

  test("that failed is not the cause if another server gave a relay", () => {
    const found = problem({ local: [RELAY], problems: [failed("turn")], servers: [TURN, TURN] });
    expect(found).toMatch("this browser has a relay");
  });

  test("is the only way allowed, but none is set", () => {
    expect(fix({ policy: "relay", local: [] })).toMatch("GPUVIEW_ICE_TRANSPORT_POLICY to all");
  });

  test("gave a relay, but nothing from the kernel arrives there", () => {
    const found = { local: [HIDDEN, RELAY], servers: [TURN], remote: [OUTSIDE] };
    expect(problem(found)).toMatch("nothing arrived there from the kernel");
    expect(fix(found)).toMatch("GPUVIEW_KERNEL_ICE_SERVERS");
  });

  test("of the kernel's does not admit a browser whose address the kernel does not know", () => {
    expect(fix({ remote: [LAN, RELAY] })).toMatch("GPUVIEW_STUN_URL or GPUVIEW_TURN_URL");
    expect(problem({ remote: [LAN, RELAY], local: [OUTSIDE] })).not.toMatch("does not know");
  });

  test("of the kernel's gave it a relay, but this browser does not reach it", () => {
    const found = { remote: [LAN, RELAY], local: [HIDDEN, OUTSIDE], servers: [STUN] };
    expect(problem(found)).toBe("no reply came from the kernel's relay at 198.18.0.10:49160");
  });

  test("is missing although each side has a public address", () => {
    expect(problem({ local: [HIDDEN, OUTSIDE], remote: [OUTSIDE], servers: [STUN] })).toBe(
      "no direct route was found, and there is no TURN server to relay",
    );
  });
});

describe("the browser", () => {
  test("has no address, and no server can help", () => {
    const problems = [failed("turn")];
    expect(problem({ local: [], problems, servers: [TURN] })).toMatch("no address of its own");
    expect(problem({ local: [], problems, policy: "relay" })).not.toMatch("no address of its own");
  });

  test("has no IPv6, and the kernel's only public address is IPv6", () => {
    const remote = [LAN, candidate("host", "2001:db8::9")];
    const to = (address: string): CandidatePair => ({ ...PAIR, remote: { ...END, address } });
    expect(problem({ remote, pairs: [to("192.168.77.2")] })).toBe(
      "outside its network the kernel has only 2001:db8::9, and this browser has no IPv6",
    );
    const tried = { remote, pairs: [to("192.168.77.2"), to("2001:db8::9")] };
    expect(problem(tried)).toBe("no reply came from [2001:db8::9]:10111");
    const both = { remote: [...remote, FORWARDED], pairs: [to("203.0.113.10")] };
    expect(problem(both)).toMatch("no reply came from");
    expect(problem({ remote })).toMatch("no reply came from"); // Nothing is known of pairs.
  });
});

describe("the network", () => {
  test("blocks UDP if neither a STUN server nor the kernel has replied", () => {
    const silent = { servers: [STUN], problems: [failed("stun")] };
    expect(problem(silent)).toMatch("seems to block UDP");
    expect(fix(silent)).toMatch("?transport=tcp");
    expect(problem({ ...silent, local: [HIDDEN, OUTSIDE] })).toMatch("no reply came from");
  });

  test("carried replies but no encrypted connection", () => {
    const pairs = [PAIR, { ...PAIR, responses: 3 }];
    expect(problem({ pairs })).toMatch("no encrypted connection");
    expect(problem({ pairs: [{ ...PAIR, responses: null }] })).not.toMatch("no encrypted");
  });

  test("gave no clue", () => {
    const found = { servers: [TURN], remote: [OUTSIDE], local: [OUTSIDE] };
    expect(problem(found)).toBe("the kernel answered, but no video connection came up");
  });
});
