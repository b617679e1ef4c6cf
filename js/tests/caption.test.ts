import { describe, expect, test } from "vitest";

import { caption as captionWith } from "../src/caption";
import type { Status } from "../src/messages";
import type { ViewState } from "../src/state";
import { LIVE } from "./fakes";

const PLAYING: ViewState = { name: "playing" };
const ERROR = { ...LIVE, state: "error", problem: "p", expected: "e", fix: "f" } as const;

const PROBLEM = { problem: "no reply", expected: "one", fix: "ask again" };

const caption = (state: ViewState, status: Status) => captionWith(state, status, null);

test("a source that fails is spoken of over a picture that is not dimmed", () => {
  expect(caption(PLAYING, ERROR)).toMatchObject({
    label: "source failed",
    message: { problem: "p", fix: "f" },
    is_dimmed: false,
  });
});

test("the message goes when the source recovers", () => {
  expect(caption(PLAYING, LIVE)).toMatchObject({ label: "playing", message: null, tone: "good" });
});

test("what a user's code has to do for a first frame is said", () => {
  const status: Status = { ...LIVE, state: "waiting", fix: "call the model" };
  expect(caption({ name: "waiting", losses: 0, has_played: false }, status).label).toBe(
    "waiting for the first frame: call the model",
  );
});

test("a connection that is made again is not back before its picture", () => {
  expect(caption({ name: "waiting", losses: 0, has_played: false }, LIVE).label).toBe(
    "waiting for the first frame",
  );
  expect(caption({ name: "waiting", losses: 1, has_played: true }, LIVE).label).toBe(
    "reconnecting",
  );
});

test("a media process that is started again is said to be", () => {
  expect(caption(PLAYING, { ...LIVE, state: "restarting" }).label).toBe("restarting");
});

test("only a failed view can be tried again", () => {
  expect(caption({ name: "failed", problem: PROBLEM }, LIVE)).toMatchObject({
    message: PROBLEM,
    can_retry: true,
  });
  expect(caption({ name: "gone" }, LIVE).can_retry).toBe(false);
});

test("what has ended is dimmed, and a kernel that has gone has its sentence", () => {
  expect(caption({ name: "closed" }, LIVE)).toMatchObject({
    label: "stream closed",
    is_dimmed: true,
  });
  expect(caption({ name: "gone" }, LIVE)).toMatchObject({
    message: { problem: "The kernel is gone. Run the cell again." },
    is_dimmed: true,
  });
});

test("an error of the source does not hide that the connection failed", () => {
  expect(caption({ name: "failed", problem: PROBLEM }, ERROR).message).toEqual(PROBLEM);
});

describe("what stands in the way of a connection", () => {
  const reconnecting = { name: "reconnecting", losses: 2, has_played: true } as const;

  test("is said while a connection is made, and nobody is asked to try again", () => {
    expect(captionWith({ name: "connecting" }, LIVE, PROBLEM)).toMatchObject({
      label: "connecting",
      message: PROBLEM,
      can_retry: false,
    });
  });

  test("goes before why the last connection failed", () => {
    const old = { ...PROBLEM, problem: "old" };
    const state = { ...reconnecting, problem: old };
    expect(captionWith(state, LIVE, null).message).toEqual(old);
    expect(captionWith(state, LIVE, PROBLEM).message).toEqual(PROBLEM);
  });

  test("is not said while a picture is shown", () => {
    expect(captionWith(PLAYING, LIVE, PROBLEM).message).toBeNull();
  });
});
