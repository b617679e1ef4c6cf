import { describe, expect, test } from "vitest";

import { diff, snapshot } from "../src/stats";
import type { StatsEntry } from "../src/stats_report";

/** A report like Chromium's, reduced to the entries that matter and some that could mislead. */
function report(timestamp: number, framesDecoded: number, overrides: Record<string, object> = {}) {
  const entries: Record<string, object> = {
    IT1: {
      type: "inbound-rtp",
      kind: "video",
      timestamp,
      codecId: "C",
      framesDecoded,
      framesDropped: 3,
      bytesReceived: 1000 * framesDecoded,
      freezeCount: 1,
    },
    C0: { type: "codec", mimeType: "video/VP8" },
    C: { type: "codec", mimeType: "video/H264" },
    T: { type: "transport", selectedCandidatePairId: "P" },
    P0: { type: "candidate-pair", localCandidateId: "R", state: "failed" },
    P: {
      type: "candidate-pair",
      localCandidateId: "L",
      remoteCandidateId: "H",
      currentRoundTripTime: 0.002,
      requestsSent: 3,
      responsesReceived: 2,
      nominated: true,
      state: "succeeded",
    },
    L: { type: "local-candidate", candidateType: "prflx" },
    H: {
      type: "remote-candidate",
      candidateType: "host",
      address: "192.0.2.9",
      port: 5000,
      protocol: "udp",
    },
    R: { type: "local-candidate", candidateType: "relay" },
    ...overrides,
  };
  return new Map(
    Object.entries(entries).map(([id, entry]) => [id, { id, ...entry } as unknown as StatsEntry]),
  );
}

function read(...parameters: Parameters<typeof report>) {
  const read = snapshot(report(...parameters));
  if (read === null) throw new Error("there is no video in the report");
  return read;
}

describe("snapshot", () => {
  test("reads the video's counters, its codec and the route in use", () => {
    expect(read(5000, 120)).toEqual({
      at_ms: 5000,
      decoded: 120,
      dropped: 3,
      freezes: 1,
      nbytes: 120_000,
      codec: "H264",
      decoder: "",
      rtt_ms: 2,
      pair: {
        local: { type: "prflx", address: "", port: 0, protocol: "", relay_protocol: "", url: "" },
        remote: {
          type: "host",
          address: "192.0.2.9",
          port: 5000,
          protocol: "udp",
          relay_protocol: "",
          url: "",
        },
        state: "succeeded",
        is_selected: true,
        requests: 3,
        responses: 2,
        rtt_ms: 2,
      },
    });
  });

  test("is null before there is a video", () => {
    expect(snapshot(new Map())).toBeNull();
  });

  test.each(["L", "H"])("calls the route a relay if its candidate %s is one", (end) => {
    const relayed = read(0, 0, { [end]: { candidateType: "relay" } });
    expect(diff(relayed, relayed, null).transport).toBe("relay");
  });

  test("knows a relay behind a proxy, which shows it as peer-reflexive", () => {
    const L = { type: "local-candidate", candidateType: "prflx", relayProtocol: "tcp" };
    const relayed = read(5000, 120, { L });
    expect(diff(relayed, relayed, null).transport).toBe("relay");
  });

  test("finds the route without a transport entry, as in Firefox", () => {
    expect(read(0, 0, { T: { type: "peer-connection" } }).pair?.rtt_ms).toBe(2);
  });

  test("takes the pair that Firefox calls selected among several nominated ones", () => {
    const pair = { type: "candidate-pair", nominated: true, state: "succeeded" };
    const { pair: found } = read(0, 0, {
      T: { type: "peer-connection" },
      P: { ...pair, currentRoundTripTime: 0.001 },
      Q: { ...pair, selected: true, currentRoundTripTime: 0.007 },
    });
    expect(found?.rtt_ms).toBe(7);
  });

  test("does without fields that a browser leaves out", () => {
    const bare: StatsEntry = { id: "V", type: "inbound-rtp", kind: "video", timestamp: 1 };
    expect(snapshot(new Map([["V", bare]]))).toMatchObject({ decoded: 0, codec: "", pair: null });
  });
});

describe("diff", () => {
  test("counts frames per second of the report's own clock", () => {
    expect(diff(read(5000, 120), read(6250, 150), null).fps).toBe(24);
  });

  test("counts bytes per second", () => {
    expect(diff(read(5000, 120), read(6250, 150), null).bytes_per_s).toBe(24_000);
  });

  test("counts the frames dropped in between, not since the beginning", () => {
    expect(diff(read(5000, 120), read(6000, 150), null)).toMatchObject({ dropped: 0, freezes: 0 });
  });

  test("is not fooled by two reports of the same instant", () => {
    expect(diff(read(5000, 120), read(5000, 120), null).fps).toBe(0);
  });
});
