// The <video> of one WebRTC connection.
//
// Browsers differ in what they show of a video whose autoplay is blocked: Firefox shows its first
// frame, which then stands still.

import type { ShownFrame } from "./latency";
import type { Player } from "./player";

export interface TrackVideoOptions {
  readonly player: Player;
  /** It has started to move. */
  readonly onPlaying: () => void;
  readonly onFrame: (frame: ShownFrame) => void;
  /** The browser plays nothing unless `play` is called in a person's click. */
  readonly onBlocked: () => void;
  readonly stop: AbortSignal;
}

export class TrackVideo {
  readonly element: HTMLVideoElement;
  readonly #track: MediaStreamTrack;
  readonly #options: TrackVideoOptions;

  /** Shows the track in the player from its first frame on. */
  constructor(track: MediaStreamTrack, options: TrackVideoOptions) {
    this.#track = track;
    this.#options = options;
    const { player, onPlaying, onFrame, stop } = options;
    const video = newVideo(track);
    this.element = video;
    video.addEventListener("resize", () => player.measure(video));
    // A notebook removes outputs from the document when they are scrolled away, which pauses them.
    video.addEventListener("pause", () => video.srcObject !== null && this.play());
    let has_frame = false;
    const follow = () => {
      // A video that may not move is worth less than what another carrier shows.
      if (!has_frame || stop.aborted || (video.paused && player.is_live)) return;
      player.show(video);
      if (!video.paused) onPlaying();
    };
    video.addEventListener("playing", follow);
    whenFirstFrame(video, () => {
      has_frame = true;
      follow();
    });
    onEachFrame(video, onFrame, stop);
    player.add(video, stop);
  }

  /** Shows the track again, from its next frame on, after the player has kept a picture of it. */
  again(): TrackVideo {
    return new TrackVideo(this.#track, this.#options);
  }

  play(): void {
    // Every other refusal means that the element is released meanwhile, and then nobody cares.
    this.element.play().catch((error: unknown) => isBlocked(error) && this.#options.onBlocked());
  }
}

function newVideo(track: MediaStreamTrack): HTMLVideoElement {
  const video = document.createElement("video");
  video.muted = true; // Otherwise most browsers do not let it play before a click.
  video.playsInline = true;
  video.srcObject = new MediaStream([track]);
  return video;
}

function isBlocked(error: unknown): boolean {
  return error instanceof DOMException && error.name === "NotAllowedError";
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
