// @vitest-environment happy-dom
import { beforeEach, describe, expect, test, vi } from "vitest";

import { FakeModel } from "./fakes";
import { pass, show, usePage } from "./page";

usePage();

/** The callbacks of the observers that watch something. */
const watching = new Set<() => void>();

class FakeObserver {
  constructor(readonly callback: () => void) {}

  observe(): void {
    watching.add(this.callback);
  }

  disconnect(): void {
    watching.delete(this.callback);
  }
}

beforeEach(() => {
  watching.clear();
  vi.stubGlobal("ResizeObserver", FakeObserver);
});

const resize = (width: number) => {
  Object.defineProperty(document.body, "clientWidth", { value: width, configurable: true });
  for (const callback of watching) callback();
};

const told = (model: FakeModel) =>
  model.sent.flatMap((message) => (message.type === "Room" ? [message.width] : []));

describe("the room of a view", () => {
  test("is told at once, and then when it has come to rest", async () => {
    const { model } = await show();
    resize(900);
    expect(told(model)).toEqual([900]);
    for (const width of [800, 700, 600]) resize(width);
    await pass(299);
    expect(told(model)).toEqual([900]);
    await pass(2);
    expect(told(model)).toEqual([900, 600]);
  });

  test("is not told where it is hidden, or as it was", async () => {
    const { model } = await show();
    for (const width of [0, 900, 0, 900]) {
      resize(width);
      await pass(301);
    }
    expect(told(model)).toEqual([900]);
  });

  test("is a part of a row", async () => {
    const { model, open } = await show();
    document.body.style.display = "flex";
    open();
    resize(900);
    expect(told(model)).toEqual([450, 450]);
    document.body.removeAttribute("style");
  });

  test("is not told where there is no way to the kernel, or after the end", async () => {
    const remote = await show({ recording: null });
    const { model, end, dispose } = await show();
    dispose();
    end();
    resize(900);
    expect([told(remote.model), told(model)]).toEqual([[], []]);
  });
});
