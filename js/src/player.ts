// The picture. A new connection's track gets a <video> of its own, which stays invisible until its
// first frame has been decoded and then replaces the old one: never black, no flicker.

/** Frames whose longest side is shorter are enlarged, pixel by pixel, so that they can be seen. */
const MIN_SIDE = 320;

export class Player {
  readonly #stage: HTMLElement;
  readonly #onSize: (width: number, height: number) => void;
  #shown: HTMLVideoElement | HTMLCanvasElement | null = null;

  /** `onSize` gets the size of the first frame, and then each new size. */
  constructor(stage: HTMLElement, onSize: (width: number, height: number) => void) {
    this.#stage = stage;
    this.#onSize = onSize;
  }

  /** Plays `track`, and shows it from its first frame on, unless `stop` is aborted before. */
  attach(track: MediaStreamTrack, onFirstFrame: () => void, stop: AbortSignal): void {
    const video = newVideo(track);
    stop.addEventListener("abort", () => video !== this.#shown && release(video), { once: true });
    video.addEventListener("resize", () => video === this.#shown && this.#measure(video));
    whenFirstFrame(video, () => {
      if (stop.aborted) return;
      this.#show(video);
      onFirstFrame();
    });
    this.#stage.append(video);
  }

  /** Keeps the last picture. Call it before closing the connection, which turns a video black. */
  freeze(): void {
    if (!(this.#shown instanceof HTMLVideoElement)) return;
    const still = drawStill(this.#shown);
    this.#stage.append(still);
    this.close();
    this.#shown = still;
  }

  /** Removes the picture. */
  close(): void {
    this.#shown?.remove();
    this.#shown = null;
  }

  #show(video: HTMLVideoElement): void {
    this.close();
    this.#shown = video;
    video.className = "gpuview-video";
    this.#measure(video);
  }

  #measure(video: HTMLVideoElement): void {
    const longest = Math.max(video.videoWidth, video.videoHeight);
    video.classList.toggle("gpuview-tiny", longest < MIN_SIDE);
    this.#onSize(video.videoWidth, video.videoHeight);
  }
}

function newVideo(track: MediaStreamTrack): HTMLVideoElement {
  const video = document.createElement("video");
  video.className = "gpuview-pending";
  video.autoplay = true;
  video.muted = true; // Otherwise browsers do not allow autoplay.
  video.playsInline = true;
  video.srcObject = new MediaStream([track]);
  // A notebook removes outputs from the document when they are scrolled away, which pauses them.
  video.addEventListener("pause", () => resume(video));
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

function resume(video: HTMLVideoElement): void {
  // Rejected if the element is released meanwhile, and then nobody cares.
  if (video.srcObject !== null) video.play().catch(() => undefined);
}

function release(video: HTMLVideoElement): void {
  video.srcObject = null;
  video.remove();
}

function whenFirstFrame(video: HTMLVideoElement, callback: () => void): void {
  if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(callback);
  else listenOnce(video, "loadeddata", callback);
}

// A function of its own, because TypeScript considers the branch above impossible.
function listenOnce(target: EventTarget, event: string, callback: () => void): void {
  target.addEventListener(event, callback, { once: true });
}
