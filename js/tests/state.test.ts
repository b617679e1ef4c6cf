import { describe, expect, test } from "vitest";

import type { Status } from "../src/messages";
import { backoff_ms, begin, next, type ViewEvent, type ViewState } from "../src/state";
import { LIVE } from "./fakes";

const CONNECTING: ViewState = { name: "connecting" };
const PLAYING: ViewState = { name: "playing" };
const PROBLEM = {
  problem: "no port is free",
  expected: "one of 5000-5004",
  fix: "close a notebook",
};
const LOST: ViewEvent = { type: "lost", problem: PROBLEM };
const status = (state: Status["state"]): ViewEvent => ({
  type: "status",
  status: { ...LIVE, state, ...PROBLEM },
});

/** Runs events through the machine and returns the last step. */
function after(state: ViewState, ...events: ViewEvent[]) {
  let step = { state, effect: { type: "none" } as ReturnType<typeof next>["effect"] };
  for (const event of events) step = next(step.state, event);
  return step;
}

const of = (...types: Exclude<ViewEvent["type"], "refused" | "status" | "resume">[]): ViewEvent[] =>
  types.map((type) => (type === "lost" ? LOST : { type }));

describe("the way to a picture", () => {
  test("a view connects at once", () => {
    expect(begin(LIVE, false)).toEqual({
      state: CONNECTING,
      effect: { type: "connect", delay_ms: 0 },
    });
  });

  test("playing means that a frame was shown, not that there is a connection", () => {
    expect(after(CONNECTING, ...of("answered", "connected")).state.name).toBe("waiting");
    expect(after(CONNECTING, ...of("answered", "connected", "frame")).state).toEqual(PLAYING);
  });

  test("a view of a closed stream, or of a kernel that is gone, never connects", () => {
    const closed = begin({ ...LIVE, state: "closed" }, false);
    expect([closed.state.name, closed.effect.type]).toEqual(["closed", "disconnect"]);
    const gone = begin(LIVE, true);
    expect([gone.state.name, gone.effect.type]).toEqual(["gone", "disconnect"]);
  });
});

describe("a browser that blocks autoplay", () => {
  const blocked = after(CONNECTING, ...of("answered", "connected", "blocked"));

  test("is asked to play as soon as there is a connection", () => {
    expect(after(CONNECTING, ...of("connected")).effect).toEqual({ type: "play" });
    expect(after(PLAYING, ...of("connected")).effect).toEqual({ type: "none" });
  });

  test("is asked again when a person presses play", () => {
    expect(blocked.state.name).toBe("blocked");
    expect(blocked.effect).toEqual({ type: "none" });
    const pressed = after(blocked.state, ...of("play"));
    expect(pressed.state.name).toBe("waiting");
    expect(pressed.effect).toEqual({ type: "play" });
    expect(after(pressed.state, ...of("frame")).state).toEqual(PLAYING);
    expect(after(pressed.state, ...of("blocked")).state).toEqual(blocked.state);
  });

  test("may stop a picture that plays, and start it by itself", () => {
    expect(after(PLAYING, ...of("blocked")).state.name).toBe("blocked");
    expect(after(PLAYING, ...of("blocked", "frame")).state).toEqual(PLAYING);
  });

  test("does not make a view give up that has played", () => {
    const lost = after(PLAYING, ...of("blocked", "lost"));
    expect(lost.state).toMatchObject({ name: "reconnecting", losses: 1, has_played: true });
    const again = after(lost.state, ...of("connected", "blocked", "play"));
    expect(again.state).toMatchObject({ name: "waiting", losses: 1, has_played: true });
  });

  test("is still connected: a change of the network makes it probe", () => {
    expect(after(blocked.state, ...of("online"))).toEqual({
      state: blocked.state,
      effect: { type: "probe" },
    });
  });

  test.each(["blocked", "play"] as const)("means nothing without a connection: %s", (type) => {
    const failed = after(CONNECTING, LOST).state;
    for (const state of [CONNECTING, failed, after(PLAYING, LOST).state]) {
      expect(after(state, ...of(type))).toEqual({ state, effect: { type: "none" } });
    }
  });
});

describe("a connection that is lost", () => {
  test("is replaced at once if it had shown a picture", () => {
    expect(after(PLAYING, ...of("lost")).effect).toEqual({ type: "connect", delay_ms: 0 });
  });

  /** Loses connections that show no picture; returns the pauses and the last state. */
  function loseAgainAndAgain(state: ViewState, times: number) {
    const pauses: number[] = [];
    for (let time = 0; time < times; time++) {
      const step = after(state, LOST);
      state = step.state;
      if (step.effect.type !== "connect") break;
      pauses.push(step.effect.delay_ms);
      state = after(state, ...of("answered", "connected")).state;
    }
    return { pauses, state };
  }

  test("is replaced after 0, 1, 2, 4, 8 s, then given up, if no picture was ever shown", () => {
    const waiting = after(CONNECTING, ...of("answered", "connected")).state;
    const { pauses, state } = loseAgainAndAgain(waiting, 10);
    expect(pauses).toEqual([0, 1000, 2000, 4000, 8000]);
    expect(state).toEqual({ name: "failed", problem: PROBLEM });
  });

  test("is never given up once a picture was shown, but replaced slowly", () => {
    const { pauses, state } = loseAgainAndAgain(PLAYING, 100);
    expect(pauses.slice(0, 7)).toEqual([0, 1000, 2000, 4000, 8000, 20_000, 20_000]);
    expect(pauses).toHaveLength(100);
    expect(state.name).toBe("waiting");
  });

  test("has its reason shown while the next is made, except the first time", () => {
    const first = after(PLAYING, LOST).state;
    expect(first).toMatchObject({ name: "reconnecting", problem: null });
    expect(after(first, LOST).state).toMatchObject({ name: "reconnecting", problem: PROBLEM });
  });

  test("is replaced even if the kernel refuses a view that has played", () => {
    const refused = after(PLAYING, LOST, { type: "refused", problem: PROBLEM });
    expect(refused.state).toMatchObject({ name: "reconnecting", problem: PROBLEM });
    expect(refused.effect).toEqual({ type: "connect", delay_ms: 1000 });
  });

  test("leaves the next offer standing while the kernel is busy, and says so", () => {
    const { state, effect } = after(PLAYING, ...of("lost", "unanswered"));
    expect(state).toMatchObject({ problem: { problem: "the kernel has not answered" } });
    expect(effect.type).toBe("none");
  });

  test("is forgotten once a picture is shown", () => {
    const flaky = after(PLAYING, ...of("lost", "lost", "lost", "connected", "frame"));
    expect(after(flaky.state, ...of("lost")).effect).toEqual({ type: "connect", delay_ms: 0 });
  });

  test("the pause never exceeds 20 s", () => {
    expect([5, 6, 50].map(backoff_ms)).toEqual([8000, 20_000, 20_000]);
  });
});

describe("a network that changes", () => {
  test("restarts every attempt as soon as it has settled", () => {
    const reconnecting = after(PLAYING, ...of("lost", "lost")).state;
    expect(after(reconnecting, ...of("online"))).toEqual({
      state: reconnecting,
      effect: { type: "connect", delay_ms: 300 },
    });
    const failed = after(CONNECTING, LOST).state;
    for (const state of [CONNECTING, failed]) {
      expect(after(state, ...of("online"))).toEqual({
        state: CONNECTING,
        effect: { type: "connect", delay_ms: 300 },
      });
    }
  });

  test.each(["online", "network-change"] as const)("makes a connected view probe: %s", (type) => {
    const waiting = after(CONNECTING, ...of("connected")).state;
    for (const state of [PLAYING, waiting]) {
      expect(after(state, ...of(type))).toEqual({ state, effect: { type: "probe" } });
    }
  });

  test("leaves every other view alone if it only may have changed", () => {
    const failed = after(CONNECTING, LOST).state;
    for (const state of [CONNECTING, failed, after(PLAYING, LOST).state]) {
      expect(after(state, ...of("network-change"))).toEqual({ state, effect: { type: "none" } });
    }
  });
});

describe("giving up", () => {
  test("without an answer, the message is about the kernel", () => {
    const { state, effect } = after(CONNECTING, ...of("unanswered"));
    expect(state).toMatchObject({ problem: { problem: "the kernel has not answered" } });
    expect(effect.type).toBe("none"); // So the offer goes on being repeated.
  });

  test("a connection that did not come up is closed, and the reason is shown", () => {
    const { state, effect } = after(CONNECTING, ...of("answered", "lost"));
    expect(state).toEqual({ name: "failed", problem: PROBLEM });
    expect(effect.type).toBe("disconnect");
  });

  test("a refusal is shown in its own words", () => {
    const { state, effect } = after(CONNECTING, { type: "refused", problem: PROBLEM });
    expect(state).toEqual({ name: "failed", problem: PROBLEM });
    expect(effect.type).toBe("disconnect");
  });

  test("a late answer is used, up to the picture", () => {
    const failed = after(CONNECTING, ...of("unanswered")).state;
    expect(after(failed, ...of("answered")).state.name).toBe("connecting");
    expect(after(failed, ...of("answered", "connected", "frame")).state).toEqual(PLAYING);
  });

  test("a retry connects when we have given up, and only then", () => {
    const failed = after(CONNECTING, ...of("unanswered")).state;
    expect(after(failed, ...of("retry")).effect.type).toBe("connect");
    for (const state of [CONNECTING, PLAYING]) {
      expect(after(state, ...of("retry"))).toEqual({ state, effect: { type: "none" } });
    }
  });
});

describe("what the kernel says", () => {
  test("a new media process makes every open view connect at once", () => {
    const failed = after(CONNECTING, ...of("unanswered")).state;
    for (const state of [CONNECTING, PLAYING, failed]) {
      expect(after(state, ...of("epoch")).effect).toEqual({ type: "connect", delay_ms: 0 });
    }
    expect(after(PLAYING, ...of("epoch")).state.name).toBe("reconnecting");
  });

  test.each(["waiting", "live", "error", "restarting"] as const)(
    "the status %s leaves the connection alone",
    (name) => {
      expect(after(PLAYING, status(name))).toEqual({ state: PLAYING, effect: { type: "none" } });
    },
  );

  test("the status failed is shown in its own words", () => {
    expect(after(PLAYING, status("failed")).state).toEqual({ name: "failed", problem: PROBLEM });
  });

  test("closed and gone are final", () => {
    const anything = [...of("connected", "frame", "lost", "epoch", "retry"), status("live")];
    for (const end of [status("closed"), ...of("kernel-gone")]) {
      const ended = after(PLAYING, end);
      expect(ended.effect.type).toBe("disconnect");
      expect(after(ended.state, ...anything).state).toEqual(ended.state);
    }
  });
});

describe("a view that a person pauses", () => {
  const RESUME: ViewEvent = { type: "resume", status: LIVE };
  const FAILED: ViewState = { name: "failed", problem: PROBLEM };
  const paused = after(PLAYING, ...of("pause"));

  test.each([
    [PLAYING, true, "hold"],
    [CONNECTING, false, "disconnect"],
    [FAILED, false, "disconnect"],
  ])("keeps a connection only if it has a picture: %o", (state, is_held, type) => {
    const step = after(state, ...of("pause"));
    expect(step).toEqual({ state: { name: "paused", is_held }, effect: { type } });
  });

  test.each(of("lost", "epoch"))("makes no other connection when that one ends: $type", (event) => {
    const step = after(paused.state, event);
    expect(step).toEqual({
      state: { name: "paused", is_held: false },
      effect: { type: "disconnect" },
    });
    expect(next(step.state, { type: "epoch" })).toEqual({
      state: step.state,
      effect: { type: "none" },
    });
  });

  test.each(of("online", "network-change", "retry", "unanswered", "pause"))(
    "connects for no other reason: $type",
    (event) => {
      expect(next(paused.state, event)).toEqual({ state: paused.state, effect: { type: "none" } });
    },
  );

  test("says nothing of a failure before it is to go on", () => {
    expect(next(paused.state, status("failed")).state.name).toBe("paused");
    const resumed = next(paused.state, {
      type: "resume",
      status: { ...LIVE, state: "failed", ...PROBLEM },
    });
    expect(resumed.state).toEqual(FAILED);
  });

  test("goes on with the connection that it has kept", () => {
    const step = next(paused.state, RESUME);
    expect(step.state).toEqual({ name: "waiting", losses: 0, has_played: true });
    expect(step.effect).toEqual({ type: "go-on" });
    expect(after(step.state, ...of("frame")).state).toEqual(PLAYING);
    expect(after(step.state, LOST).effect.type).toBe("connect");
  });

  test("connects at once when it has kept none", () => {
    const connect = { type: "connect", delay_ms: 0 };
    const lost = after(paused.state, LOST).state;
    expect(next(lost, RESUME)).toEqual({ state: CONNECTING, effect: connect });
    expect(next(PLAYING, RESUME)).toEqual({ state: PLAYING, effect: { type: "none" } });
  });

  test("says when the stream or the kernel has ended", () => {
    expect(next(paused.state, status("closed")).state.name).toBe("closed");
    expect(next(paused.state, { type: "kernel-gone" }).state.name).toBe("gone");
  });
});
