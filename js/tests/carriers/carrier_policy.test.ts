import { describe, expect, test } from "vitest";

import {
  advance,
  backoff_ms,
  close,
  CLOSED,
  decide,
  favourite,
  isHopeful,
  shownOf,
  type Favourite,
  type Lane,
  type Race,
} from "../../src/carriers/carrier_policy";

const START_MS = 10_000;
const TRYING: Favourite = { state: "trying", since_ms: START_MS };
const FAILED: Favourite = { state: "failed", since_ms: START_MS };

function race(changes: Partial<Race> = {}, lanes: Partial<Race["lanes"]> = {}): Race {
  const both = { socket: CLOSED, comm: CLOSED, ...lanes };
  return { favourite: TRYING, lanes: both, remembered: null, ...changes };
}

function lane(state: Lane["state"], since_ms: number, changes: Partial<Lane> = {}): Lane {
  return { ...CLOSED, state, since_ms, ...changes };
}

function openAt(after_ms: number, of: Race) {
  const { open, wake_ms } = decide(of, START_MS + after_ms);
  return { open: [...open], wake_ms: wake_ms === null ? null : wake_ms - START_MS };
}

describe("a view that begins", () => {
  test("gives WebRTC a second, the socket another, and then tries the comm", () => {
    expect(openAt(0, race())).toEqual({ open: [], wake_ms: 1000 });
    expect(openAt(1000, race())).toEqual({ open: ["socket"], wake_ms: 2000 });
    const opening = { socket: lane("opening", START_MS + 1000) };
    expect(openAt(1999, race({}, opening))).toEqual({ open: ["socket"], wake_ms: 2000 });
    expect(openAt(2000, race({}, opening))).toEqual({ open: ["socket", "comm"], wake_ms: null });
  });

  test("tries the comm second where there is no socket", () => {
    expect(openAt(1000, race({}, { socket: null })).open).toEqual(["comm"]);
  });

  test("tries the comm at once where the socket is known to be shut", () => {
    const shut = { socket: lane("closed", 0, { opens_at_ms: START_MS + 60_000 }) };
    expect(openAt(1000, race({}, shut))).toEqual({ open: ["comm"], wake_ms: 60_000 });
  });

  test("tries the comm as soon as the socket turns out to be shut", () => {
    const since_ms = START_MS + 1010;
    const refused = lane("closed", since_ms, { failures: 1, opens_at_ms: since_ms + 5000 });
    expect(openAt(1010, race({}, { socket: refused })).open).toEqual(["comm"]);
  });

  test("begins with what won the last time, beside WebRTC", () => {
    expect(openAt(0, race({ remembered: "socket" }))).toEqual({ open: ["socket"], wake_ms: 1000 });
    expect(openAt(0, race({ remembered: "comm" })).open).toEqual(["socket", "comm"]);
    expect(openAt(0, race({ remembered: "webrtc" })).open).toEqual([]);
  });

  test("does not wait for WebRTC that may not be used or has failed", () => {
    expect(openAt(0, race({ favourite: FAILED }))).toEqual({ open: ["socket"], wake_ms: 1000 });
  });

  test("opens nothing while no frame is due", () => {
    expect(openAt(9000, race({ favourite: { state: "idle" } }))).toEqual({
      open: [],
      wake_ms: null,
    });
  });

  test("has nothing to open where WebRTC alone is allowed", () => {
    const alone = race({}, { socket: null, comm: null });
    expect(openAt(9000, alone)).toEqual({ open: [], wake_ms: null });
    expect(isHopeful(alone)).toBe(false);
  });
});

describe("the best carrier that shows a frame is the one that stays", () => {
  const showing = lane("showing", START_MS);

  test("WebRTC closes both others", () => {
    const both = { socket: showing, comm: showing };
    expect(openAt(0, race({ favourite: { state: "showing" } }, both)).open).toEqual([]);
  });

  test("the socket closes the comm, and is the one shown", () => {
    const both = race({}, { socket: showing, comm: showing });
    expect(shownOf(both)).toBe("socket");
    expect(openAt(0, both)).toEqual({ open: ["socket"], wake_ms: null });
  });

  test("the comm goes on beside a socket that shows nothing yet", () => {
    const both = race({}, { socket: lane("waiting", START_MS), comm: showing });
    expect(shownOf(both)).toBe("comm");
    expect(openAt(0, both).open).toEqual(["socket", "comm"]);
  });

  test("what shows a picture goes on while no frame of WebRTC is due", () => {
    const one = race({ favourite: { state: "idle" } }, { socket: showing });
    expect(openAt(0, one).open).toEqual(["socket"]);
  });
});

describe("a carrier that ends", () => {
  const showing = lane("showing", START_MS);

  test("is tried again at once, with the comm a second later", () => {
    const died = race({ favourite: FAILED }, { socket: close(showing, START_MS + 5000, true) });
    expect(openAt(5000, died)).toEqual({ open: ["socket"], wake_ms: 6000 });
  });

  test("is tried less and less often, while the comm takes its place at once", () => {
    const again = close({ ...showing, failures: 3 }, START_MS + 5000, true);
    const died = race({ favourite: FAILED }, { socket: again });
    expect(openAt(5000, died)).toEqual({ open: ["comm"], wake_ms: 9000 });
    expect([0, 1, 2, 3, 5, 6, 7, 99].map(backoff_ms)).toEqual([
      0, 0, 1000, 2000, 8000, 16_000, 30_000, 30_000,
    ]);
  });

  test("is no hope for the first picture", () => {
    const failed = close(lane("opening", START_MS), START_MS, true);
    expect(isHopeful(race({}, { socket: failed }))).toBe(true); // The comm is.
    expect(isHopeful(race({}, { socket: failed, comm: failed }))).toBe(false);
  });

  test("begins anew with each picture, and when it was we who closed it", () => {
    expect(advance(lane("waiting", 0, { failures: 4 }), "showing", 7).failures).toBe(0);
    expect(advance(lane("opening", 0, { failures: 4 }), "waiting", 7).failures).toBe(4);
    expect(close({ ...showing, failures: 4 }, 7, false)).toEqual(
      lane("closed", 7, { opens_at_ms: 7 }),
    );
  });
});

test("WebRTC is missed since it last showed a frame, however often it fails", () => {
  const lost = favourite({ state: "showing" }, "trying", 100);
  expect(lost).toEqual({ state: "trying", since_ms: 100 });
  expect(favourite(lost, "failed", 900)).toEqual({ state: "failed", since_ms: 100 });
  expect(favourite(lost, "idle", 900)).toEqual({ state: "idle" });
});
