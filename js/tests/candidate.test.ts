import { describe, expect, test } from "vitest";

import {
  areNeighbours,
  candidatesOf,
  endpoint,
  isForKernel,
  isPrivate,
  parseCandidate,
  shortEndpoint,
} from "../src/candidate";

/** As Chromium writes them. */
const SRFLX =
  "candidate:1587497613 1 udp 1677729535 198.51.100.20 51618 typ srflx raddr 0.0.0.0 rport 0 generation 0 ufrag vBx1 network-cost 999";
const HIDDEN =
  "candidate:1 1 udp 2113937151 06a76f4d-6190-4301-830a-7cb5f10410a5.local 41905 typ host";
const TCP = "candidate:3 1 tcp 1518280447 10.0.0.20 9 typ host tcptype active";
/** As Firefox does. */
const SECOND_COMPONENT =
  "candidate:0 2 UDP 2122252543 198.51.100.20 60001 typ srflx raddr 0.0.0.0 rport 0";

const isUsable = (text: string) => {
  const candidate = parseCandidate(text);
  return candidate !== null && isForKernel(candidate);
};

describe("a candidate", () => {
  test("is read from its text", () => {
    expect(parseCandidate(SRFLX)).toEqual({
      type: "srflx",
      address: "198.51.100.20",
      port: 51618,
      protocol: "udp",
      component: 1,
    });
  });

  test.each(["", "end-of-candidates", "candidate:1 1 udp 1 10.0.0.1 x typ host"])(
    "is not read from %j",
    (text) => {
      expect(parseCandidate(text)).toBeNull();
    },
  );

  test("is of use to the kernel unless it is hidden, TCP, or of a component that is not used", () => {
    expect([SRFLX, HIDDEN, TCP, SECOND_COMPONENT].map(isUsable)).toEqual([
      true,
      false,
      false,
      false,
    ]);
  });

  test("stands in an SDP once for each section, and is found once", () => {
    const section = `m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=${SRFLX}\r\na=end-of-candidates\r\n`;
    expect(candidatesOf(`v=0\r\n${section}${section}`)).toEqual([SRFLX]);
  });
});

describe("an address", () => {
  test.each([
    ["10.20.30.40", true],
    ["172.16.0.1", true],
    ["172.31.255.254", true],
    ["172.32.0.1", false],
    ["192.168.77.2", true],
    ["192.169.0.1", false],
    ["100.64.0.1", true],
    ["100.128.0.1", false],
    ["169.254.1.1", true],
    ["127.0.0.1", true],
    ["203.0.113.10", false],
    ["fd00::2", true],
    ["fe80::1", true],
    ["::1", true],
    ["2001:db8::9", false],
  ])("%s is private: %s", (address, is_private) => {
    expect(isPrivate(address)).toBe(is_private);
  });

  test("is written with its port", () => {
    expect(endpoint("203.0.113.9", 5000)).toBe("203.0.113.9:5000");
    expect(endpoint("2001:db8::9", 5000)).toBe("[2001:db8::9]:5000");
    expect(shortEndpoint("06a76f4d-6190-4301.local", 1)).toBe("06a76f4d….local:1");
    expect(shortEndpoint("", 1)).toBe("hidden:1");
  });

  test("has neighbours in its own network", () => {
    expect(areNeighbours("192.168.77.2", "192.168.77.30")).toBe(true);
    expect(areNeighbours("192.168.77.2", "192.168.7.2")).toBe(false);
    expect(areNeighbours("06a76f4d.local", "192.168.77.2")).toBe(false);
    expect(areNeighbours("fd00::2", "fd00::3")).toBe(false);
  });
});
