import { describe, expect, test } from "vitest";

import type { Status } from "../src/messages";
import { backoff_ms, begin, next, type ViewEvent, type ViewState } from "../src/state";
import { LIVE } from "./fakes";

const CONNECTING: ViewState = { name: "connecting", answered: false };
const PLAYING: ViewState = { name: "playing" };
const WORDS = { problem: "no port is free", expected: "one of 5000-5004", fix: "close a notebook" };
const status = (state: Status["state"]): ViewEvent => ({
  type: "status",
  status: { ...LIVE, state, ...WORDS },
});

/** Runs events through the machine and returns the last step. */
function after(state: ViewState, ...events: ViewEvent[]) {
  let step = { state, effect: { type: "none" } as ReturnType<typeof next>["effect"] };
  for (const event of events) step = next(step.state, event);
  return step;
}

const of = (...types: Exclude<ViewEvent["type"], "refused" | "status">[]): ViewEvent[] =>
  types.map((type) => ({ type }));

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

  test("a view of a closed stream, or of a kernel that has gone, never connects", () => {
    const closed = begin({ ...LIVE, state: "closed" }, false);
    expect([closed.state.name, closed.effect.type]).toEqual(["closed", "disconnect"]);
    const gone = begin(LIVE, true);
    expect([gone.state.name, gone.effect.type]).toEqual(["gone", "disconnect"]);
  });
});

describe("a connection that is lost", () => {
  test("is made again at once when it had shown a picture", () => {
    expect(after(PLAYING, ...of("lost")).effect).toEqual({ type: "connect", delay_ms: 0 });
  });

  test("is made again after 0, 1, 2, 4, 8 s, then given up, when none shows a picture", () => {
    let state: ViewState = PLAYING;
    const pauses: number[] = [];
    for (;;) {
      const step = after(state, ...of("lost"));
      if (step.effect.type !== "connect") break;
      pauses.push(step.effect.delay_ms);
      state = after(step.state, ...of("answered", "connected")).state;
    }
    expect(pauses).toEqual([0, 1000, 2000, 4000, 8000]);
    expect(after(state, ...of("lost")).state.name).toBe("failed");
  });

  test("is forgotten once a picture is shown", () => {
    const flaky = after(PLAYING, ...of("lost", "lost", "lost", "connected", "frame"));
    expect(after(flaky.state, ...of("lost")).effect).toEqual({ type: "connect", delay_ms: 0 });
  });

  test("the pause never exceeds 8 s", () => {
    expect([1, 2, 3, 4, 5, 6, 50].map(backoff_ms)).toEqual([0, 1000, 2000, 4000, 8000, 8000, 8000]);
  });
});

describe("giving up", () => {
  test("without an answer, the sentence speaks of the kernel", () => {
    const { state, effect } = after(CONNECTING, ...of("overdue"));
    expect(state).toMatchObject({ words: { problem: "the kernel has not answered" } });
    expect(effect.type).toBe("none"); // So the offer goes on being repeated.
  });

  test.each(["overdue", "lost"] as const)(
    "with an answer, the sentence for %s speaks of the route",
    (type) => {
      const { state } = after(CONNECTING, ...of("answered", type));
      expect(state).toMatchObject({ words: { fix: expect.stringMatching("GPUVIEW_PUBLIC_IP") } });
    },
  );

  test("a refusal's own words are shown", () => {
    const { state, effect } = after(CONNECTING, { type: "refused", words: WORDS });
    expect(state).toEqual({ name: "failed", words: WORDS });
    expect(effect.type).toBe("disconnect");
  });

  test("a late answer is used, up to the picture", () => {
    const failed = after(CONNECTING, ...of("overdue")).state;
    expect(after(failed, ...of("answered")).state.name).toBe("connecting");
    expect(after(failed, ...of("answered", "connected", "frame")).state).toEqual(PLAYING);
  });

  test("a retry connects when we have given up, and only then", () => {
    const failed = after(CONNECTING, ...of("overdue")).state;
    expect(after(failed, ...of("retry")).effect.type).toBe("connect");
    for (const state of [CONNECTING, PLAYING]) {
      expect(after(state, ...of("retry"))).toEqual({ state, effect: { type: "none" } });
    }
  });
});

describe("what the kernel says", () => {
  test("a new media process makes every open view connect at once", () => {
    const failed = after(CONNECTING, ...of("overdue")).state;
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
    expect(after(PLAYING, status("failed")).state).toEqual({ name: "failed", words: WORDS });
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
