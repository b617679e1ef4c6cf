import { describe, expect, test } from "vitest";

import { caption as captionWith } from "../src/caption";
import type { Carrier } from "../src/carriers/carrier_policy";
import type { Status } from "../src/messages";
import type { ViewState } from "../src/state";
import { LIVE } from "./fakes";

const PLAYING: ViewState = { name: "playing" };
const ERROR = {
  ...LIVE,
  state: "error",
  part: "source",
  problem: "p",
  expected: "e",
  fix: "f",
} as const;

const PROBLEM = { problem: "no reply", expected: "one", fix: "ask again" };

const caption = (state: ViewState, status: Status) => captionWith(state, status, null, "webrtc");

test("a failing source is shown over a picture that is not dimmed", () => {
  expect(caption(PLAYING, ERROR)).toMatchObject({
    label: "source failed",
    message: { problem: "p", fix: "f" },
    is_dimmed: false,
  });
});

test("the legend is shown beside a picture that plays or rests, and no other", () => {
  const legend = [{ text: "0 … 1 (viridis)", colour: "" }];
  const status = { ...LIVE, legend };
  expect(caption(PLAYING, status).legend).toBe(legend);
  expect(caption(PLAYING, { ...status, has_ended: true }).legend).toBe(legend);
  expect(captionWith(PLAYING, status, null, "webrtc", 5000).legend).toBe(legend);
  expect(caption({ name: "paused", is_held: true }, status).legend).toBeNull();
  expect(caption({ name: "gone" }, status).legend).toEqual([]);
});

test("a picture that a person stopped is theirs to look at: nothing covers or dims it", () => {
  const paused = caption({ name: "paused", is_held: true }, ERROR);
  expect(paused).toMatchObject({ label: "paused", message: null, is_dimmed: false });
});

test("the label names the part that failed", () => {
  expect(caption(PLAYING, { ...ERROR, part: "encoder" }).label).toBe("encoder failed");
  expect(caption(PLAYING, { ...ERROR, part: "recording" }).label).toBe("recording failed");
});

test("a recording that has failed does not hide why there is no picture", () => {
  const status: Status = { ...ERROR, part: "recording" };
  const state: ViewState = { name: "reconnecting", problem: PROBLEM, losses: 1, has_played: true };
  expect(caption(state, status)).toMatchObject({ label: "reconnecting", message: PROBLEM });
});

test("the message goes when the source recovers", () => {
  expect(caption(PLAYING, LIVE)).toMatchObject({ label: "playing", message: null, tone: "good" });
});

test("a hint is shown while the picture plays, and not over an error", () => {
  const hint = "values reach 255: value_range=(0, 255)";
  expect(caption(PLAYING, { ...LIVE, hint }).hint).toBe(hint);
  expect(caption({ name: "waiting", losses: 0, has_played: false }, { ...LIVE, hint }).hint).toBe(
    hint,
  );
  expect(caption(PLAYING, { ...ERROR, hint }).hint).toBe("");
  expect(caption(PLAYING, LIVE).hint).toBe("");
});

test("the label says what the user's code has to do for a first frame", () => {
  const status: Status = { ...LIVE, state: "waiting", fix: "call the model" };
  expect(caption({ name: "waiting", losses: 0, has_played: false }, status).label).toBe(
    "waiting for the first frame: call the model",
  );
});

test("a view has not reconnected before its picture is back", () => {
  expect(caption({ name: "waiting", losses: 0, has_played: false }, LIVE).label).toBe(
    "waiting for the first frame",
  );
  expect(caption({ name: "waiting", losses: 1, has_played: true }, LIVE).label).toBe(
    "reconnecting",
  );
});

test("only a view whose browser blocks autoplay has a play button", () => {
  const blocked = { name: "blocked", losses: 0, has_played: false } as const;
  expect(caption(blocked, LIVE)).toMatchObject({ label: "press play", can_play: true });
  expect(caption(blocked, ERROR)).toMatchObject({ label: "source failed", can_play: false });
  expect(caption(PLAYING, LIVE).can_play).toBe(false);
});

test("the label says that the media process is restarting", () => {
  expect(caption(PLAYING, { ...LIVE, state: "restarting" }).label).toBe("restarting");
});

test("only a failed view can be tried again", () => {
  expect(caption({ name: "failed", problem: PROBLEM }, LIVE)).toMatchObject({
    message: PROBLEM,
    can_retry: true,
  });
  expect(caption({ name: "gone" }, LIVE).can_retry).toBe(false);
});

test("a stream that has ended is dimmed, and a kernel that is gone has a message", () => {
  expect(caption({ name: "closed" }, LIVE)).toMatchObject({
    label: "stream closed",
    is_dimmed: true,
  });
  expect(caption({ name: "gone" }, LIVE)).toMatchObject({
    message: { problem: "The kernel is gone. Run the cell again." },
    is_dimmed: true,
  });
});

test("an error of the source does not hide a failed connection", () => {
  expect(caption({ name: "failed", problem: PROBLEM }, ERROR).message).toEqual(PROBLEM);
});

test("a picture that stands still says since when, and that its source has ended", () => {
  const resting = (status: Status) => captionWith(PLAYING, status, null, "webrtc", 12_300);
  expect(resting(LIVE)).toMatchObject({
    label: "idle",
    age: ", last frame 12 s ago",
    tone: "idle",
    is_dimmed: false,
  });
  const ended = { label: "the source has ended", age: "", tone: "idle" };
  expect(resting({ ...LIVE, has_ended: true })).toMatchObject(ended);
  expect(caption(PLAYING, { ...LIVE, has_ended: true })).toMatchObject(ended);
  expect(resting(ERROR).label).toBe("source failed");
  expect(caption({ name: "gone" }, { ...LIVE, has_ended: true }).label).toBe("kernel gone");
});

test("a picture whose maker has gone is not playing, and says whom it waits for", () => {
  const gone = { ...LIVE, waits_for: "rank 0 on node7", hint: "silent since 12:03:10" };
  expect(caption(PLAYING, gone)).toMatchObject({
    label: "waiting for rank 0 on node7",
    tone: "busy",
    hint: "silent since 12:03:10",
    is_dimmed: false,
  });
});

test("a playing picture names its carrier, unless it is the usual one", () => {
  const label = (carrier: Carrier) => captionWith(PLAYING, LIVE, null, carrier).label;
  expect(label("webrtc")).toBe("playing");
  expect(label("socket")).toBe("playing over WebSocket");
  expect(label("comm")).toBe("playing through the kernel");
});

describe("a problem while connecting", () => {
  const reconnecting = { name: "reconnecting", losses: 2, has_played: true } as const;

  test("is shown, and nobody is asked to try again", () => {
    expect(captionWith({ name: "connecting" }, LIVE, PROBLEM, null)).toMatchObject({
      label: "connecting",
      message: PROBLEM,
      can_retry: false,
    });
  });

  test("replaces the reason why the last connection failed", () => {
    const old = { ...PROBLEM, problem: "old" };
    const state = { ...reconnecting, problem: old };
    expect(captionWith(state, LIVE, null, null).message).toEqual(old);
    expect(captionWith(state, LIVE, PROBLEM, null).message).toEqual(PROBLEM);
  });

  test("is not shown over a picture", () => {
    expect(captionWith(PLAYING, LIVE, PROBLEM, null).message).toBeNull();
  });
});
