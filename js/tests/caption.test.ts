import { expect, test } from "vitest";

import { caption } from "../src/caption";
import type { ViewState } from "../src/state";
import { LIVE } from "./fakes";

const PLAYING: ViewState = { name: "playing" };
const ERROR = { ...LIVE, state: "error", problem: "p", expected: "e", fix: "f" } as const;

test("a source that fails is spoken of over a picture that is not dimmed", () => {
  expect(caption(PLAYING, ERROR)).toMatchObject({
    label: "source failed",
    words: { problem: "p", fix: "f" },
    is_dimmed: false,
  });
});

test("the message goes when the source recovers", () => {
  expect(caption(PLAYING, LIVE)).toMatchObject({ label: "playing", words: null, tone: "good" });
});

test("a connection that is made again is not back before its picture", () => {
  expect(caption({ name: "waiting", losses: 0 }, LIVE).label).toBe("waiting for the first frame");
  expect(caption({ name: "waiting", losses: 1 }, LIVE).label).toBe("reconnecting");
});

test("a media process that is started again is said to be", () => {
  expect(caption(PLAYING, { ...LIVE, state: "restarting" }).label).toBe("restarting");
});

test("only a failed view can be tried again", () => {
  const words = { problem: "p", expected: "e", fix: "f" };
  expect(caption({ name: "failed", words }, LIVE)).toMatchObject({ words, can_retry: true });
  expect(caption({ name: "gone" }, LIVE).can_retry).toBe(false);
});

test("what has ended is dimmed, and a kernel that has gone has its sentence", () => {
  expect(caption({ name: "closed" }, LIVE)).toMatchObject({
    label: "stream closed",
    is_dimmed: true,
  });
  expect(caption({ name: "gone" }, LIVE)).toMatchObject({
    words: { problem: "The kernel has gone. Run the cell again." },
    is_dimmed: true,
  });
});

test("an error of the source does not hide that the connection failed", () => {
  const words = { problem: "no route", expected: "", fix: "" };
  expect(caption({ name: "failed", words }, ERROR).words).toEqual(words);
});
