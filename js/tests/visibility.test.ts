// @vitest-environment happy-dom
import { beforeEach, describe, expect, test, vi } from "vitest";

import { FakeModel, last, showFrame } from "./fakes";
import { answer, hidePage, pass, peer, play, settle, show, usePage } from "./page";

usePage();

/** `FakeObserver.made` has every `new IntersectionObserver` of a test, in order. */
class FakeObserver {
  static made: FakeObserver[] = [];
  readonly observed: Element[] = [];
  isOver = false;

  constructor(readonly callback: (entries: { isIntersecting: boolean }[]) => void) {
    FakeObserver.made.push(this);
  }

  observe(element: Element): void {
    this.observed.push(element);
  }

  disconnect(): void {
    this.isOver = true;
  }
}

beforeEach(() => {
  FakeObserver.made = [];
  vi.stubGlobal("IntersectionObserver", FakeObserver);
});

const scroll = (isIntersecting: boolean) => last(FakeObserver.made).callback([{ isIntersecting }]);
const isPaused = (root: HTMLElement) => root.dataset["paused"] !== undefined;

/** What the pings since the last call said. */
function toldPaused(): boolean[] {
  const sent = peer().channel?.sent.splice(0) ?? [];
  return sent.map((text) => JSON.parse(text).is_paused);
}

async function showPlaying(model = new FakeModel()) {
  const shown = await show({}, model);
  await play(shown.model, shown.root);
  toldPaused();
  return shown;
}

describe("a picture that nobody can see", () => {
  test("is wanted no more after a second, and again at once", async () => {
    const { root } = await showPlaying();
    scroll(false);
    await pass(900);
    expect(isPaused(root)).toBe(false);
    toldPaused();
    await pass(150);
    expect(isPaused(root)).toBe(true);
    expect(toldPaused()).toContain(true);
    scroll(true);
    expect(isPaused(root)).toBe(false);
    expect(toldPaused()).toEqual([false]);
    await pass(50);
    expect(toldPaused()).toEqual([false]); // In case the first was lost.
    expect(root.dataset["state"]).toBe("playing");
  });

  test("is one in a tab behind others, too", async () => {
    const { root } = await showPlaying();
    hidePage(true);
    await pass(1000);
    expect(isPaused(root)).toBe(true);
    hidePage(false);
    expect(isPaused(root)).toBe(false);
  });

  test("is not one that floats above other windows", async () => {
    const { root } = await showPlaying();
    const video = root.querySelector("video");
    Object.defineProperty(document, "pictureInPictureElement", {
      value: video,
      configurable: true,
    });
    hidePage(true);
    await pass(2000);
    expect(isPaused(root)).toBe(false);
    Reflect.deleteProperty(document, "pictureInPictureElement");
    video?.dispatchEvent(new Event("leavepictureinpicture"));
    await pass(1000);
    expect(isPaused(root)).toBe(true);
  });

  test("that only scrolls past goes on", async () => {
    const { root } = await showPlaying();
    scroll(false);
    await pass(999);
    scroll(true);
    await pass(5000);
    expect(isPaused(root)).toBe(false);
    expect(toldPaused()).not.toContain(true);
  });

  test("stays paused in a new connection, whose first ping says so", async () => {
    const { model, root } = await showPlaying();
    scroll(false);
    await pass(1000);
    peer().become("failed");
    await settle();
    await answer(model);
    peer().become("connected");
    expect(toldPaused()).toEqual([true]);
    scroll(true);
    showFrame(root);
    expect(root.dataset["state"]).toBe("playing");
  });

  test("is not watched for after the view's end", async () => {
    const { dispose, end } = await showPlaying();
    dispose();
    end();
    expect(last(FakeObserver.made).isOver).toBe(true);
  });
});
