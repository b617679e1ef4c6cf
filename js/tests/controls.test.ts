// @vitest-environment happy-dom
import { beforeEach, describe, expect, test, vi } from "vitest";

import { fileName } from "../src/controls/save";
import { FakePeerConnection, last, LIVE, showFrame, type FakeModel } from "./fakes";
import { hidePage, KEPT_MS, pass, peer, play, settle, show, state, usePage } from "./page";
import { piece, png } from "./stills";

usePage();

const find = (root: HTMLElement, name: string) =>
  [...root.querySelectorAll<HTMLButtonElement>(".gpuview-controls button")].find(
    ({ ariaLabel }) => ariaLabel === name,
  );

async function press(root: HTMLElement, name: string) {
  find(root, name)?.click();
  await settle();
}

const said = (root: HTMLElement) => root.querySelector(".gpuview-said")?.textContent;
const label = (root: HTMLElement) => root.querySelector(".gpuview-label")?.textContent;
const byes = (model: FakeModel) => model.sentOf("Bye").length;

async function showPlaying(...args: Parameters<typeof show>) {
  const shown = await show(...args);
  await play(shown.model, shown.root);
  return shown;
}

describe("pause", () => {
  test("keeps the picture, and a connection that sends no other", async () => {
    const { model, root } = await showPlaying();
    await press(root, "Pause");
    expect([state(root), label(root)]).toEqual(["paused", "paused"]);
    expect([peer().isClosed, byes(model)]).toEqual([false, 0]);
    const ping = JSON.parse(last(peer().channel?.sent ?? []));
    expect(ping).toMatchObject({ type: "Ping", is_paused: true });
    expect(root.querySelector("video")).toBeNull();
    expect(root.querySelector("canvas.gpuview-video")).not.toBeNull();
  });

  test("stays when the connection is lost", async () => {
    const { model, root } = await showPlaying();
    await press(root, "Pause");
    peer().become("failed");
    await settle();
    expect([state(root), peer().isClosed, byes(model)]).toEqual(["paused", true, 1]);
    expect(root.querySelector("canvas.gpuview-video")).not.toBeNull();
  });

  test("lasts, whatever becomes of network, tab and media process", async () => {
    const { model, root } = await showPlaying();
    await press(root, "Pause");
    window.dispatchEvent(new Event("online"));
    hidePage(true);
    hidePage(false);
    model.push("epoch", 1);
    model.status("failed", "no port is free");
    model.status("live");
    await pass(600_000);
    expect(state(root)).toBe("paused");
    expect(FakePeerConnection.made).toHaveLength(1);
  });

  test("ends with play, by the same connection", async () => {
    const start = vi.spyOn(HTMLVideoElement.prototype, "play");
    const { root } = await showPlaying();
    await press(root, "Pause");
    const kept = root.querySelector("canvas.gpuview-video");
    start.mockClear();
    await press(root, "Play");
    expect(state(root)).toBe("waiting");
    expect(start).toHaveBeenCalledOnce();
    expect(JSON.parse(last(peer().channel?.sent ?? []))).toMatchObject({ is_paused: false });
    expect(kept?.isConnected).toBe(true); // Until there is a newer picture.
    showFrame(root);
    await settle();
    expect(state(root)).toBe("playing");
    expect(kept?.isConnected).toBe(false);
    expect(root.querySelectorAll("video.gpuview-video")).toHaveLength(1);
    expect(FakePeerConnection.made).toHaveLength(1);
    await press(root, "Pause"); // As often as one likes.
    await press(root, "Play");
    showFrame(root);
    await settle();
    expect([state(root), FakePeerConnection.made.length]).toEqual(["playing", 1]);
  });

  test("ends by a new connection when that one was lost", async () => {
    const { model, root } = await showPlaying();
    await press(root, "Pause");
    peer().become("failed");
    await settle();
    await press(root, "Play");
    await play(model, root);
    expect([state(root), FakePeerConnection.made.length]).toEqual(["playing", 2]);
  });

  test("stays when a loop clears the output and displays the stream again", async () => {
    const { root, dispose, open } = await showPlaying();
    await press(root, "Pause");
    dispose();
    const again = open();
    await pass(KEPT_MS);
    expect(state(again.root)).toBe("paused");
  });

  test("is not there for a stream that has ended, and the keyboard stays in the view", async () => {
    const { model, root } = await showPlaying();
    find(root, "Pause")?.focus();
    model.status("closed");
    expect(find(root, "Pause")?.hidden).toBe(true);
    expect(document.activeElement).toBe(root.querySelector(".gpuview-details-button"));
  });
});

describe("stepping back", () => {
  const bar = (root: HTMLElement) => root.querySelector<HTMLElement>(".gpuview-replay");
  const asked = () => peer().interaction?.sent.map((text) => JSON.parse(text)) ?? [];

  /** The media process answers the last question, over the same connection. */
  async function answer(fields: object) {
    const { view, seq } = last(asked());
    const kept = { time_ms: 9000, oldest_ms: 1000, newest_ms: 9000 };
    const none = { problem: "", nbytes: 0, offset: 0, data: "" };
    const told = { type: "Replay", view, seq, ...kept, ...none, ...fields };
    peer().interaction?.hear(JSON.stringify(told));
    await pass(50);
  }

  async function showPaused() {
    const shown = await showPlaying();
    peer().interaction?.open();
    await press(shown.root, "Pause");
    await answer({});
    return shown;
  }

  test("shows an earlier picture in place of the one that is paused, and saves it", async () => {
    vi.stubGlobal("createImageBitmap", async () => ({ width: 320, height: 180 }));
    const { root } = await showPaused();
    expect(bar(root)?.hidden).toBe(false);
    const kept = root.querySelector(".gpuview-video");
    const key = new KeyboardEvent("keydown", { key: "ArrowLeft" });
    bar(root)?.querySelector("input")?.dispatchEvent(key);
    await pass(50);
    await answer({ time_ms: 8960, nbytes: 4, data: "SlBFRw==" });
    const [picture, ...others] = root.querySelectorAll<HTMLCanvasElement>(".gpuview-video");
    expect([picture?.width, others, kept?.isConnected]).toEqual([320, [], false]);
    expect(find(root, "Save a PNG")?.title).toMatch("not pixel for pixel");
  });

  /** Presses a key on the slider; a picture of that time is the answer. */
  async function step(root: HTMLElement, key: string, time_ms: number) {
    bar(root)?.querySelector("input")?.dispatchEvent(new KeyboardEvent("keydown", { key }));
    await pass(50);
    await answer({ time_ms, nbytes: 4, data: "SlBFRw==" });
  }

  test("keeps the exact picture at the pause, and says that an earlier one is video", async () => {
    const [width, height] = [640, 360];
    vi.stubGlobal("createImageBitmap", async () => ({ width, height }));
    const { root } = await showPlaying();
    peer().interaction?.open();
    showFrame(root, { rtpTimestamp: 3205 });
    peer().stills?.hear(piece(3205, 100, 0, png(width, height, 100)));
    await settle();
    await press(root, "Pause");
    await answer({});
    await answer({ nbytes: 4, data: "SlBFRw==" });
    expect(find(root, "Save a PNG")?.title).toMatch("every pixel");
    await step(root, "ArrowLeft", 8960);
    expect(find(root, "Save a PNG")?.title).toMatch("not pixel for pixel");
  });

  test("says the size of what is seen, and what the colours mean only at the pause", async () => {
    const bitmap = { width: 640, height: 360 };
    vi.stubGlobal("createImageBitmap", async () => ({ ...bitmap }));
    const legend = (root: HTMLElement) => root.querySelector<HTMLElement>(".gpuview-legend");
    const shape = (root: HTMLElement) => [
      root.querySelector(".gpuview-figures")?.textContent,
      root.querySelector<HTMLElement>(".gpuview-stage")?.style.getPropertyValue("--gpuview-height"),
    ];
    const entry = { text: "0 to 1", colour: "" };
    const { root } = await showPlaying({ status: { ...LIVE, legend: [entry] } });
    peer().interaction?.open();
    await press(root, "Pause");
    await answer({});
    await answer({ nbytes: 4, data: "SlBFRw==" });
    expect([legend(root)?.textContent, legend(root)?.hidden]).toEqual(["0 to 1", false]);
    expect(shape(root)).toEqual(["640×360", "360"]);
    bitmap.height = 480;
    await step(root, "ArrowLeft", 8960);
    expect(legend(root)?.hidden).toBe(true);
    expect(shape(root)).toEqual(["640×480", "480"]);
    bitmap.height = 360;
    await step(root, "ArrowRight", 9000);
    expect(legend(root)?.hidden).toBe(false);
    expect(shape(root)).toEqual(["640×360", "360"]);
    await step(root, "ArrowLeft", 8960);
    await press(root, "Play");
    showFrame(root);
    await settle();
    expect(legend(root)?.hidden).toBe(false);
  });

  test("ends with Live, and the keyboard stays in the view", async () => {
    const { root } = await showPaused();
    const live = bar(root)?.querySelector("button");
    live?.focus();
    live?.click();
    await settle();
    expect(document.activeElement).toBe(find(root, "Pause"));
    showFrame(root);
    await settle();
    expect([state(root), bar(root)?.hidden]).toEqual(["playing", true]);
  });

  test("is over when the connection is lost, as it says; the picture and Live stay", async () => {
    const { root } = await showPaused();
    peer().become("failed");
    await settle();
    expect([state(root), bar(root)?.hidden]).toEqual(["paused", false]);
    expect(bar(root)?.textContent).toBe("the connection was lost; Live shows what is newLive");
    expect(root.querySelector("canvas.gpuview-video")).not.toBeNull();
    bar(root)?.querySelector("button")?.click();
    expect([state(root), bar(root)?.hidden]).toEqual(["connecting", true]);
  });
});

describe("saving", () => {
  const saved: { name: string; width: number }[] = [];

  beforeEach(() => {
    saved.length = 0;
    vi.stubGlobal("createImageBitmap", async () => ({ width: 1280, height: 720 }));
    vi.spyOn(HTMLCanvasElement.prototype, "toBlob").mockImplementation(function (
      this: HTMLCanvasElement,
      take,
    ) {
      saved.push({ name: "", width: this.width });
      take(new Blob(["PNG"]));
    });
    vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(function (
      this: HTMLAnchorElement,
    ) {
      saved.splice(-1, 1, { name: this.download, width: saved.at(-1)?.width ?? 0 });
    });
  });

  const sendStill = async () => {
    showFrame(document.body, { rtpTimestamp: 3205 });
    peer().stills?.hear(piece(3205, 100, 0, png(1280, 720, 100)));
    await settle();
  };

  test("takes the video's frame, and says that it is not exact", async () => {
    const { root } = await showPlaying();
    expect(find(root, "Save a PNG")?.title).toMatch("not pixel for pixel");
    await press(root, "Save a PNG");
    expect(saved).toEqual([{ name: expect.stringMatching(/^gpuview-.*\.png$/), width: 640 }]);
    expect(said(root)).toBe("saved");
    await pass(10_000);
    expect(said(root)).toBe("");
  });

  test("takes the exact picture where there is one, also after a pause", async () => {
    const { root } = await showPlaying();
    await sendStill();
    expect(find(root, "Save a PNG")?.title).toMatch("every pixel");
    await press(root, "Save a PNG");
    await press(root, "Pause");
    expect(find(root, "Save a PNG")?.title).toMatch("every pixel");
    await press(root, "Save a PNG");
    expect(saved.map(({ width }) => width)).toEqual([1280, 1280]);
  });

  test("takes the exact picture after a pause, while it still stands", async () => {
    const { root } = await showPlaying();
    await sendStill();
    await press(root, "Pause");
    await press(root, "Play");
    const [repeat, another] = [3205 + 32 * 3000, 3206 + 32 * 6000];
    showFrame(root, { rtpTimestamp: repeat });
    await settle();
    expect(state(root)).toBe("playing");
    expect(find(root, "Save a PNG")?.title).toMatch("every pixel");
    showFrame(root, { rtpTimestamp: another });
    await settle();
    expect(find(root, "Save a PNG")?.title).toMatch("not pixel for pixel");
  });

  test("says so when the browser cannot", async () => {
    const { root } = await showPlaying();
    vi.spyOn(HTMLCanvasElement.prototype, "toBlob").mockImplementation((take) => take(null));
    await press(root, "Save a PNG");
    expect(said(root)).toMatch("could not save");
  });

  test("names the file by the time", () => {
    expect(fileName(new Date(2026, 0, 2, 3, 4, 5))).toBe("gpuview-2026-01-02-03-04-05.png");
  });
});

describe("the link to the stream's own page", () => {
  const PLACE = { place: "kernel-1/stream-1" };

  beforeEach(() => {
    document.body.dataset["baseUrl"] = "/nb/";
    return () => delete document.body.dataset["baseUrl"];
  });

  const answerWith = (status: number) => {
    const ask = vi.fn(async (_url: string) => new Response("", { status }));
    vi.stubGlobal("fetch", ask);
    return ask;
  };

  test("is offered once the server has that page", async () => {
    const ask = answerWith(200);
    const write = vi.fn(async (_text: string) => undefined);
    vi.stubGlobal("navigator", { clipboard: { writeText: write }, onLine: true });
    const { root } = await showPlaying(PLACE);
    await settle();
    expect(find(root, "Copy a link")?.hidden).toBe(false);
    await press(root, "Copy a link");
    expect(write.mock.calls).toEqual([ask.mock.calls[0]?.slice(0, 1)]);
    expect(write.mock.calls[0]?.[0]).toMatch("/nb/gpuview/view/kernel-1/stream-1");
    expect(said(root)).toBe("link copied");
  });

  test.each([
    ["a server without the extension", PLACE, 404],
    ["a kernel without a socket", {}, 200],
  ])("is not offered by %s", async (_name, traits, status) => {
    answerWith(status);
    const { root } = await showPlaying(traits);
    await settle();
    expect(find(root, "Copy a link")?.hidden).toBe(true);
  });
});

describe("picture in picture", () => {
  const take = vi.fn(async () => undefined);

  beforeEach(() => {
    take.mockClear();
    const property = { configurable: true, value: true, writable: true };
    Object.defineProperty(document, "pictureInPictureEnabled", property);
    Object.assign(HTMLVideoElement.prototype, { requestPictureInPicture: take });
    vi.spyOn(HTMLVideoElement.prototype, "play").mockResolvedValue(undefined);
    return () => Reflect.deleteProperty(document, "pictureInPictureEnabled");
  });

  test("is not offered by a browser without it", async () => {
    Object.assign(document, { pictureInPictureEnabled: false });
    const { root } = await showPlaying();
    expect(find(root, "Picture in picture")?.hidden).toBe(true);
  });

  test("opens with the stream that is shown, and says that it is open", async () => {
    const { root } = await showPlaying();
    expect(find(root, "Picture in picture")?.ariaPressed).toBe("false");
    await press(root, "Picture in picture");
    expect(take).toHaveBeenCalledOnce();
    expect(find(root, "Picture in picture")?.ariaPressed).toBe("true");
  });

  test("closes with a pause: there is nothing to follow", async () => {
    const { root } = await showPlaying();
    await press(root, "Picture in picture");
    await press(root, "Pause");
    expect(find(root, "Picture in picture")?.hidden).toBe(true);
    expect(find(root, "Picture in picture")?.ariaPressed).toBe("false");
  });

  test("says so when the browser refuses", async () => {
    take.mockRejectedValueOnce(new DOMException("no", "NotAllowedError"));
    const { root } = await showPlaying();
    await press(root, "Picture in picture");
    expect(said(root)).toMatch("does not allow");
    expect(find(root, "Picture in picture")?.ariaPressed).toBe("false");
  });
});

describe("recording", () => {
  const wishes = (model: FakeModel) => model.sentOf("Record").map(({ is_on }) => is_on);

  test("begins and ends in the kernel, which names the file", async () => {
    const { model, root } = await showPlaying();
    await press(root, "Record");
    expect(wishes(model)).toEqual([true]);
    model.push("recording", { state: "on", text: "gpuview-1.mp4" });
    const pressed = find(root, "Stop recording");
    expect(pressed?.ariaPressed).toBe("true");
    expect(said(root)).toBe("recording gpuview-1.mp4");
    await press(root, "Stop recording");
    expect(wishes(model)).toEqual([true, false]);
    model.push("recording", { state: "saved", text: "gpuview-1.mp4" });
    expect(said(root)).toBe("saved gpuview-1.mp4");
    expect(find(root, "Record")?.title).toContain("gpuview-1.mp4");
  });

  test("that the kernel refuses says why", async () => {
    const { model, root } = await showPlaying();
    await press(root, "Record");
    model.push("recording", { state: "failed", text: "the disk is full" });
    expect(said(root)).toBe("not recorded: the disk is full");
    expect(find(root, "Record")?.ariaPressed).toBe("false");
  });

  test("waits for a busy kernel, and says so", async () => {
    const { model, root } = await showPlaying();
    await press(root, "Record");
    await pass(3000);
    expect(said(root)).toContain("the kernel is busy");
    model.push("recording", { state: "on", text: "gpuview-1.mp4" });
    await pass(5000);
    expect(said(root)).toBe("");
  });

  test("is not offered for a stream that has ended, or where no kernel is reached", async () => {
    const { model, root } = await showPlaying();
    model.status("closed");
    expect(find(root, "Record")?.hidden).toBe(true);
    const alone = await showPlaying({ recording: null });
    expect(find(alone.root, "Record")?.hidden).toBe(true);
  });
});
