// @vitest-environment happy-dom
import { beforeEach, describe, expect, test, vi } from "vitest";

import { showFrame } from "./fakes";
import { peer, play, settle, show, usePage } from "./page";
import { piece, png } from "./stills";

usePage();

const PNG = png(640, 360, 100);
/** A timestamp of picture 5, and one of picture 6. */
const [FIFTH, SIXTH] = [3205, 6406];

beforeEach(() => {
  vi.stubGlobal("createImageBitmap", async () => ({ width: 640, height: 360 }));
});

const cover = (root: HTMLElement) => root.querySelector("canvas.gpuview-video");
const figures = (root: HTMLElement) => root.querySelector(".gpuview-figures")?.textContent;
const isExact = (root: HTMLElement) => root.dataset["exact"] !== undefined;

async function sendStill(timestamp: number) {
  peer().stills?.hear(piece(timestamp, 100, 0, PNG));
  await settle();
}

async function showPlaying() {
  const { model, root } = await show();
  await play(model, root);
  return { model, root };
}

describe("a still", () => {
  test("comes over a reliable data channel of its own", async () => {
    await show();
    expect(peer().stills).toMatchObject({
      label: "gpuview-still",
      options: {},
      binaryType: "arraybuffer",
    });
  });

  test("is not asked for by a browser that does not say which frame it shows", async () => {
    Reflect.deleteProperty(HTMLVideoElement.prototype, "requestVideoFrameCallback");
    await show();
    expect(peer().channel).not.toBeNull();
    expect(peer().stills).toBeNull();
  });

  test("lies over the video, which goes on below, and the caption says exact", async () => {
    const { root } = await showPlaying();
    showFrame(root, { rtpTimestamp: FIFTH });
    await sendStill(FIFTH);
    expect(cover(root)).toMatchObject({ width: 640, height: 360 });
    expect(root.querySelector("video.gpuview-video")).not.toBeNull();
    expect(figures(root)).toBe("640×360 · exact");
    expect(isExact(root)).toBe(true);
  });

  test("waits until the video shows its picture", async () => {
    const { root } = await showPlaying();
    showFrame(root, { rtpTimestamp: FIFTH - 1000 });
    await sendStill(FIFTH);
    expect(cover(root)).toBeNull();
    showFrame(root, { rtpTimestamp: FIFTH });
    expect(cover(root)).not.toBeNull();
  });

  test("stays while its picture is repeated, and goes with the next picture for good", async () => {
    const { root } = await showPlaying();
    showFrame(root, { rtpTimestamp: FIFTH });
    await sendStill(FIFTH);
    const shown = cover(root);
    showFrame(root, { rtpTimestamp: FIFTH + 32 * 50 });
    expect(cover(root)).toBe(shown);
    showFrame(root, { rtpTimestamp: SIXTH });
    expect(cover(root)).toBeNull();
    expect(figures(root)).toBe("640×360");
    expect(isExact(root)).toBe(false);
    showFrame(root, { rtpTimestamp: FIFTH + 32 * 1000 });
    expect(cover(root)).toBeNull();
  });

  test("that is decoded when its picture has gone is never shown", async () => {
    const { root } = await showPlaying();
    showFrame(root, { rtpTimestamp: FIFTH + 32 * 1000 });
    peer().stills?.hear(piece(FIFTH, 100, 0, PNG));
    peer().stills?.hear(`moved ${SIXTH}`);
    await settle();
    expect(cover(root)).toBeNull();
  });

  test("without a frame's timestamp is not shown", async () => {
    const { root } = await showPlaying();
    showFrame(root);
    await sendStill(FIFTH);
    expect(cover(root)).toBeNull();
  });

  test("that cannot be decoded is not shown", async () => {
    vi.stubGlobal("createImageBitmap", async () => {
      throw new DOMException("no picture", "InvalidStateError");
    });
    const { root } = await showPlaying();
    showFrame(root, { rtpTimestamp: FIFTH });
    await sendStill(FIFTH);
    expect(cover(root)).toBeNull();
  });

  test("is the last picture of a connection that is lost", async () => {
    const { root } = await showPlaying();
    showFrame(root, { rtpTimestamp: FIFTH });
    await sendStill(FIFTH);
    const shown = cover(root);
    peer().become("failed");
    expect(root.querySelectorAll(".gpuview-video")).toHaveLength(1);
    expect(cover(root)).toBe(shown);
    expect(isExact(root)).toBe(false);
  });
});
