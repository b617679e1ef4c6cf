import { describe, expect, test } from "vitest";

import { candidatesOf, isForKernel, parseCandidate } from "../src/candidate";

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
