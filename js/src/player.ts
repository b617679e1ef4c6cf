// The picture. A new connection's track gets a <video> of its own, which stays invisible until its
// first frame has been decoded and then replaces the old one: never black, no flicker.
//
// Browsers differ in what they show of a video whose autoplay is blocked: Firefox shows its first
// frame, which then stands still.

import type { ShownFrame } from "./latency";
import { pictureSize, type PictureSize, type Size } from "./picture_size";

/** Frames whose longest side is shorter are enlarged, pixel by pixel, so that they can be seen. */
const MIN_SIDE = 320;

export interface PlayerOptions {
  /** Gets the size of the first picture, and then each new size. */
  readonly onSize: (size: PictureSize) => void;
  /** The browser plays nothing unless `play` is called in a person's click. */
  readonly onBlocked: () => void;
}

export interface TrackOptions {
  readonly onPlaying: () => void;
  readonly onFrame: (frame: ShownFrame) => void;
}

export class Player {
  readonly #stage: HTMLElement;
  readonly #options: PlayerOptions;
  #shown: HTMLVideoElement | HTMLCanvasElement | null = null;
  /** The present connection's. */
  #video: HTMLVideoElement | null = null;
  /** What lies over the video. */
  #cover: HTMLCanvasElement | null = null;
  /** The size of the stream's picture, as the media process said last. */
  #said: Size | null = null;

  constructor(stage: HTMLElement, options: PlayerOptions) {
    this.#stage = stage;
    this.#options = options;
  }

  /**
   * Takes the track of a new connection and shows it from its first frame on, unless `stop` is
   * aborted before. Calls `onPlaying` whenever it starts to move, and `onFrame` for each frame.
   */
  attach(track: MediaStreamTrack, { onPlaying, onFrame }: TrackOptions, stop: AbortSignal): void {
    const video = newVideo(track);
    this.#video = video;
    stop.addEventListener("abort", () => video !== this.#shown && release(video), { once: true });
    video.addEventListener("resize", () => video === this.#shown && this.#measure(video));
    // A notebook removes outputs from the document when they are scrolled away, which pauses them.
    video.addEventListener("pause", () => video.srcObject !== null && this.#start(video));
    const report = () => video === this.#shown && !video.paused && onPlaying();
    video.addEventListener("playing", report);
    whenFirstFrame(video, () => {
      if (stop.aborted) return;
      this.#show(video);
      report();
    });
    onEachFrame(video, onFrame, stop);
    this.#stage.append(video);
  }

  /** Plays what was attached last. */
  play(): void {
    if (this.#video !== null) this.#start(this.#video);
  }

  /** Takes the size of the stream's picture: the video may be a smaller copy of it. */
  setPictureSize(said: Size): void {
    this.#said = said;
    if (this.#shown instanceof HTMLVideoElement) this.#measure(this.#shown);
  }

  /** Lays a picture over the video, which goes on below it; null takes it away. */
  cover(picture: HTMLCanvasElement | null): void {
    if (picture === this.#cover || !(this.#shown instanceof HTMLVideoElement)) return;
    this.#cover?.remove();
    this.#cover = picture;
    if (picture === null) return;
    picture.className = this.#shown.className;
    this.#shown.after(picture);
  }

  /** Keeps the last picture. Call it before closing the connection, which turns a video black. */
  freeze(): void {
    if (!(this.#shown instanceof HTMLVideoElement)) return;
    const still = this.#cover ?? drawStill(this.#shown);
    this.#cover = null;
    this.#shown.after(still);
    this.close();
    this.#shown = still;
  }

  /** Removes the picture. */
  close(): void {
    this.cover(null);
    this.#shown?.remove();
    this.#shown = null;
  }

  #start(video: HTMLVideoElement): void {
    // Every other refusal means that the element is released meanwhile, and then nobody cares.
    video.play().catch((error: unknown) => isBlocked(error) && this.#options.onBlocked());
  }

  #show(video: HTMLVideoElement): void {
    this.close();
    this.#shown = video;
    video.className = "gpuview-video";
    this.#measure(video);
  }

  #measure(video: HTMLVideoElement): void {
    const size = pictureSize({ width: video.videoWidth, height: video.videoHeight }, this.#said);
    this.#stage.classList.toggle("gpuview-tiny", Math.max(size.width, size.height) < MIN_SIDE);
    this.#stage.style.setProperty("--gpuview-width", String(size.width));
    this.#stage.style.setProperty("--gpuview-height", String(size.height));
    this.#options.onSize(size);
  }
}

function newVideo(track: MediaStreamTrack): HTMLVideoElement {
  const video = document.createElement("video");
  video.className = "gpuview-pending";
  video.muted = true; // Otherwise most browsers do not let it play before a click.
  video.playsInline = true;
  video.srcObject = new MediaStream([track]);
  return video;
}

function drawStill(video: HTMLVideoElement): HTMLCanvasElement {
  const still = document.createElement("canvas");
  still.className = video.className;
  still.width = video.videoWidth;
  still.height = video.videoHeight;
  still.getContext("2d")?.drawImage(video, 0, 0);
  return still;
}

function isBlocked(error: unknown): boolean {
  return error instanceof DOMException && error.name === "NotAllowedError";
}

function release(video: HTMLVideoElement): void {
  video.srcObject = null;
  video.remove();
}

function whenFirstFrame(video: HTMLVideoElement, callback: () => void): void {
  if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(callback);
  else listenOnce(video, "loadeddata", callback);
}

function onEachFrame(
  video: HTMLVideoElement,
  callback: (frame: ShownFrame) => void,
  stop: AbortSignal,
): void {
  if (!("requestVideoFrameCallback" in video)) return;
  const next = () =>
    void video.requestVideoFrameCallback((_now, frame) => {
      if (stop.aborted) return;
      callback(frame);
      next();
    });
  next();
}

// A function of its own, because TypeScript considers the branch above impossible.
function listenOnce(target: EventTarget, event: string, callback: () => void): void {
  target.addEventListener(event, callback, { once: true });
}
