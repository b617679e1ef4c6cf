// @vitest-environment happy-dom
import { beforeEach, expect, test, vi } from "vitest";

import { last } from "./fakes";
import { FakeWebSocket } from "./carriers/fakes";
import { peer, play, settle, show, usePage } from "./page";
import { Line } from "../src/interaction/line";
import type { FromView, ToView } from "../src/messages";
import { FakeModel } from "./fakes";

usePage();
beforeEach(() => void vi.stubGlobal("WebSocket", FakeWebSocket));

const PRESS = { type: "SetKnob", name: "go", value: 1 } as const;

function line(...is_open: boolean[]) {
  const [model, stop] = [new FakeModel(), new AbortController()];
  const sent: [number, FromView][] = [];
  const ways = is_open.map((open, way) => (message: FromView) => {
    if (open) sent.push([way, message]);
    return open;
  });
  return { line: new Line({ view: "v1", model, ways, stop: stop.signal }), model, sent, stop };
}

test("says each thing once, by the best way that is open", () => {
  const { line: best, sent, model } = line(false, true, true);
  best.say(PRESS);
  expect(sent).toEqual([[1, { ...PRESS, view: "v1" }]]);
  expect(model.sent).toEqual([]);
});

test("goes through the kernel where nothing else is open", () => {
  const { line: none, model } = line(false);
  none.say(PRESS);
  expect(model.sentOf("SetKnob")).toEqual([{ ...PRESS, view: "v1" }]);
  model.isDisposed = true;
  none.say(PRESS); // The kernel was shut down.
});

test("hears what this view is told, and nothing else", () => {
  const { line: listening, model, stop } = line();
  const heard: ToView[] = [];
  listening.listen((message) => heard.push(message), stop.signal);
  const told = { type: "Told", view: "v1" };
  model.fire("msg:custom", told);
  model.fire("msg:custom", { ...told, view: "v2" });
  listening.hear(told as unknown as ToView);
  expect(heard).toEqual([told, told]);
  stop.abort();
  listening.hear(told as unknown as ToView);
  expect(heard).toHaveLength(2);
});

test("has an ordered data channel that loses nothing, beside the pings", async () => {
  const { model, root } = await show();
  await play(model, root);
  expect(peer().interaction?.options).toEqual({});
  await settle();
  expect(last([root]).dataset["state"]).toBe("playing");
});
