// Picture in picture. The window has a video of its own, so that it stays when the notebook takes
// the output out of the document, and when a connection replaces another.

import type { Screen } from "../player";

export class FloatingPicture {
  readonly #video = document.createElement("video");
  readonly #onChange: () => void;
  #is_open = false;

  /** `onChange` is called when the window has opened or closed. */
  constructor(onChange: () => void, stop: AbortSignal) {
    this.#onChange = onChange;
    this.#video.muted = true;
    this.#video.addEventListener("leavepictureinpicture", () => this.#set(false));
    stop.addEventListener("abort", () => this.close(), { once: true });
  }

  /** Whether this browser has such windows, and the page may open one. */
  static get is_possible(): boolean {
    return document.pictureInPictureEnabled === true;
  }

  get is_open(): boolean {
    return this.#is_open;
  }

  /** Opens the window with what a screen shows. Call it in a person's click. */
  async open(screen: Screen): Promise<boolean> {
    const stream = streamOf(screen);
    if (stream === null) return false;
    this.#video.srcObject = stream;
    try {
      await this.#video.play(); // The window takes only a video that has a size.
      await this.#video.requestPictureInPicture();
      this.#set(true);
    } catch {
      this.#set(false);
    }
    return this.#is_open;
  }

  /** Goes on with the screen of another connection. */
  follow(screen: Screen): void {
    if (!this.#is_open) return;
    this.#video.srcObject = streamOf(screen);
    this.#video.play().catch(() => undefined); // Replaced or closed meanwhile.
  }

  close(): void {
    if (!this.#is_open) return;
    // Another page or view may have taken the window already.
    if (document.pictureInPictureElement === this.#video) {
      document.exitPictureInPicture().catch(() => undefined);
    }
    this.#set(false);
  }

  #set(is_open: boolean): void {
    if (!is_open) this.#video.srcObject = null;
    if (is_open === this.#is_open) return;
    this.#is_open = is_open;
    this.#onChange();
  }
}

function streamOf(screen: Screen): MediaStream | null {
  if (!(screen instanceof HTMLVideoElement)) return screen.captureStream();
  return screen.srcObject instanceof MediaStream ? screen.srcObject : null;
}
