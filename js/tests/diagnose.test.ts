import { describe, expect, test } from "vitest";

import type { Candidate } from "../src/candidate";
import { diagnose, type Facts } from "../src/diagnose";
import type { Pair } from "../src/report";
import type { Trouble } from "../src/words";

const WORDS = { problem: "it has not replied", expected: "a reply", fix: "start it" };
const TURN = { url: "turn:turn.example", note: "" };
const STUN = { url: "stun:stun.example", note: "" };

const candidate = (type: string, address: string, port = 10111): Candidate => ({
  type,
  address,
  port,
  protocol: "udp",
  component: 1,
});
const trouble = (kind: Trouble["kind"]): Trouble => ({ kind, words: WORDS });

const HIDDEN = candidate("host", "06a76f4d.local");
const LAN = candidate("host", "192.168.77.2");
const FORWARDED = candidate("host", "203.0.113.10");
const OUTSIDE = candidate("srflx", "198.51.100.20");
const RELAY = candidate("relay", "198.18.0.10", 49160);

const END = { type: "host", address: "", port: 0, protocol: "udp", relay_protocol: "", url: "" };
const PAIR: Pair = {
  local: END,
  remote: END,
  state: "failed",
  is_selected: false,
  requests: 12,
  responses: 0,
  rtt_ms: null,
};

/** A default Chromium without servers, and a kernel on another network whose port is not open. */
const facts = (changes: Partial<Facts>): Facts => ({
  policy: "all",
  servers: [],
  own: [HIDDEN],
  kernels: [FORWARDED],
  troubles: [],
  pairs: [PAIR],
  ...changes,
});
const problem = (changes: Partial<Facts>) => diagnose(facts(changes)).problem;
const fix = (changes: Partial<Facts>) => diagnose(facts(changes)).fix;

describe("the kernel's address", () => {
  test("is private, and the browser is elsewhere", () => {
    expect(diagnose(facts({ kernels: [LAN, candidate("host", "10.1.2.3")] }))).toEqual({
      problem:
        "the kernel shows private addresses only (192.168.77.2, 10.1.2.3), and this browser does not reach them",
      expected: "an address of the kernel that can be reached from outside its network",
      fix: "set GPUVIEW_PUBLIC_IP to that address, or GPUVIEW_TURN_URL to a TURN server",
    });
  });

  test("is private, which the browser's relay does not help", () => {
    const relayed = { kernels: [LAN], own: [HIDDEN, RELAY], servers: [TURN] };
    expect(fix(relayed)).toBe("set GPUVIEW_PUBLIC_IP to that address");
  });

  test("is private, and the browser is on that network: a firewall", () => {
    const own = [candidate("host", "192.168.77.30")];
    expect(problem({ kernels: [LAN], own })).toBe("no reply came from 192.168.77.2:10111");
  });

  test("is public, but its port is not forwarded", () => {
    expect(problem({})).toBe("no reply came from 203.0.113.10:10111");
    expect(fix({})).toMatch("forward UDP port 10111 to the kernel's machine");
  });

  test("is one of many, of which some are named", () => {
    const kernels = [1, 2, 3, 4, 5].map((port) => candidate("host", "2001:db8::9", port));
    expect(problem({ kernels })).toBe(
      "no reply came from [2001:db8::9]:1, [2001:db8::9]:2, [2001:db8::9]:3 and 2 more",
    );
  });

  test("is not there at all, for a reason that the kernel has told or not", () => {
    expect(fix({ kernels: [] })).toMatch("gpuview doctor");
    expect(problem({ kernels: [], troubles: [trouble("kernel")] })).toBe(
      "no video connection came up: on the kernel's side: it has not replied",
    );
  });

  test("was to be learnt from a server that failed", () => {
    const troubles = [trouble("kernel")];
    expect(problem({ kernels: [LAN], troubles })).toMatch("on the kernel's side: it has not");
    expect(problem({ kernels: [FORWARDED], troubles })).toMatch("no reply came from");
  });
});

describe("a TURN server", () => {
  test("that failed is named, before anything else is supposed", () => {
    for (const kernels of [[LAN], [FORWARDED], [OUTSIDE]]) {
      const troubles = [trouble("turn")];
      expect(diagnose(facts({ kernels, troubles, servers: [TURN] }))).toEqual({
        ...WORDS,
        problem: "no video connection came up: it has not replied",
      });
    }
  });

  test("that failed is not the reason where another one gave a relay", () => {
    const found = problem({ own: [RELAY], troubles: [trouble("turn")], servers: [TURN, TURN] });
    expect(found).toMatch("this browser has a relay");
  });

  test("is the only way that is allowed, and there is none", () => {
    expect(fix({ policy: "relay", own: [] })).toMatch("GPUVIEW_ICE_TRANSPORT_POLICY to all");
  });

  test("gave a relay, and the kernel does not come to it", () => {
    const found = { own: [HIDDEN, RELAY], servers: [TURN], kernels: [OUTSIDE] };
    expect(problem(found)).toMatch("nothing came to it from the kernel");
    expect(fix(found)).toMatch("GPUVIEW_KERNEL_ICE_SERVERS");
  });

  test("of the kernel lets in nobody whose address it was not told", () => {
    expect(fix({ kernels: [LAN, RELAY] })).toMatch("GPUVIEW_STUN_URL or GPUVIEW_TURN_URL");
    expect(problem({ kernels: [LAN, RELAY], own: [OUTSIDE] })).not.toMatch("does not know");
  });

  test("of the kernel gave it a relay, which this browser does not reach", () => {
    const found = { kernels: [LAN, RELAY], own: [HIDDEN, OUTSIDE], servers: [STUN] };
    expect(problem(found)).toBe("no reply came from the kernel's relay at 198.18.0.10:49160");
  });

  test("is what is missing where each side has an address outside", () => {
    expect(problem({ own: [HIDDEN, OUTSIDE], kernels: [OUTSIDE], servers: [STUN] })).toBe(
      "no direct route was found, and there is no server in between",
    );
  });
});

describe("the browser", () => {
  test("has no address at all, which no server can mend", () => {
    const troubles = [trouble("turn")];
    expect(problem({ own: [], troubles, servers: [TURN] })).toMatch("no address of its own");
    expect(problem({ own: [], troubles, policy: "relay" })).not.toMatch("no address of its own");
  });

  test("has no IPv6, and the kernel nothing else outside its network", () => {
    const kernels = [LAN, candidate("host", "2001:db8::9")];
    const to = (address: string): Pair => ({ ...PAIR, remote: { ...END, address } });
    expect(problem({ kernels, pairs: [to("192.168.77.2")] })).toBe(
      "outside its network the kernel has only 2001:db8::9, and this browser has no IPv6",
    );
    const tried = { kernels, pairs: [to("192.168.77.2"), to("2001:db8::9")] };
    expect(problem(tried)).toBe("no reply came from [2001:db8::9]:10111");
    const both = { kernels: [...kernels, FORWARDED], pairs: [to("203.0.113.10")] };
    expect(problem(both)).toMatch("no reply came from");
    expect(problem({ kernels })).toMatch("no reply came from"); // Nothing is known of pairs.
  });
});

describe("otherwise", () => {
  test("neither STUN server nor kernel have replied: no UDP", () => {
    const silent = { servers: [STUN], troubles: [trouble("stun")] };
    expect(problem(silent)).toMatch("let no UDP out");
    expect(fix(silent)).toMatch("?transport=tcp");
    expect(problem({ ...silent, own: [HIDDEN, OUTSIDE] })).toMatch("no reply came from");
  });

  test("there were replies, but no encryption", () => {
    const pairs = [PAIR, { ...PAIR, responses: 3 }];
    expect(problem({ pairs })).toMatch("no encrypted connection");
    expect(problem({ pairs: [{ ...PAIR, responses: null }] })).not.toMatch("no encrypted");
  });

  test("nothing is known", () => {
    const found = { servers: [TURN], kernels: [OUTSIDE], own: [OUTSIDE] };
    expect(problem(found)).toBe("the kernel answered, but no video connection came up");
  });
});
