// Draws decoded frames on a canvas, the newest one only, and says when the browser has painted it.

import type { Size } from "../picture_size";

/** What is known of a frame besides its pixels. */
export interface FrameInfo extends Size {
  readonly seq: number;
  readonly timestamp: number;
}

/** Images are decoded side by side, and overtake each other by a few. */
const MAX_BEHIND = 64;

export class Painter {
  readonly canvas = document.createElement("canvas");
  readonly #context = this.canvas.getContext("2d", { alpha: false });
  readonly #onPainted: (frame: FrameInfo, at_ms: number) => void;
  readonly #stop: AbortSignal;
  /** Drawn, but perhaps not painted yet. */
  #drawn: FrameInfo | null = null;
  #is_painting = false;
  #n_replaced = 0;

  /** `onPainted` is called for each frame that was on the screen. */
  constructor(onPainted: (frame: FrameInfo, at_ms: number) => void, stop: AbortSignal) {
    this.#onPainted = onPainted;
    this.#stop = stop;
  }

  /** How many frames were drawn over before they were painted. */
  get n_replaced(): number {
    return this.#n_replaced;
  }

  /** Draws a frame, unless a newer one has been drawn, and closes it. */
  draw(picture: VideoFrame | ImageBitmap, frame: FrameInfo): void {
    const behind = (this.#drawn?.seq ?? frame.seq) - frame.seq;
    const is_old = behind > 0 && behind < MAX_BEHIND; // More, and the numbers have begun anew.
    if (!this.#stop.aborted && !is_old) this.#draw(picture, frame);
    picture.close(); // Decoders stop when a few frames are left open.
  }

  #draw(picture: VideoFrame | ImageBitmap, frame: FrameInfo): void {
    if (this.#context === null) return; // A browser gives out only so many.
    const { width, height } = frame;
    // To set a canvas's size clears it.
    if (this.canvas.width !== width) this.canvas.width = width;
    if (this.canvas.height !== height) this.canvas.height = height;
    // Without what a decoder adds to fill its blocks: Firefox shows 1088 lines of 1080.
    this.#context.drawImage(picture, 0, 0, width, height, 0, 0, width, height);
    this.#drawn = frame;
    if (this.#is_painting) {
      this.#n_replaced += 1;
      return;
    }
    this.#is_painting = true;
    requestAnimationFrame(() => this.#report());
  }

  /** A page that is hidden or does not paint never gets here. */
  #report(): void {
    this.#is_painting = false;
    if (this.#drawn !== null && !this.#stop.aborted) {
      this.#onPainted(this.#drawn, performance.now());
    }
  }
}
