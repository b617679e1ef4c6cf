// Draws the decoded frames of one decoder, the newest one only, and says when the browser has painted
// it.

import type { Size } from "../picture_size";

/** What is known of a frame besides its pixels. */
export interface FrameInfo extends Size {
  readonly seq: number;
  readonly timestamp: number;
}

export type Draw = (picture: VideoFrame | ImageBitmap, frame: FrameInfo) => void;

export class Painter {
  readonly #draw: Draw;
  readonly #onPainted: (frame: FrameInfo, at_ms: number) => void;
  readonly #stop: AbortSignal;
  /** Drawn, but perhaps not painted yet. */
  #drawn: FrameInfo | null = null;
  #is_painting = false;
  #n_replaced = 0;

  /** `onPainted` is called for each frame that was on the screen. */
  constructor(draw: Draw, onPainted: (frame: FrameInfo, at_ms: number) => void, stop: AbortSignal) {
    this.#draw = draw;
    this.#onPainted = onPainted;
    this.#stop = stop;
  }

  /** How many frames were drawn over before they were painted. */
  get n_replaced(): number {
    return this.#n_replaced;
  }

  /** Draws a frame, unless a newer one has been drawn, and closes it. */
  draw(picture: VideoFrame | ImageBitmap, frame: FrameInfo): void {
    // Images are decoded side by side, and overtake each other. The numbers have 32 bits.
    const is_old = this.#drawn !== null && ((this.#drawn.seq - frame.seq) | 0) > 0;
    if (!this.#stop.aborted && !is_old) this.#show(picture, frame);
    picture.close(); // Decoders stop when a few frames are left open.
  }

  #show(picture: VideoFrame | ImageBitmap, frame: FrameInfo): void {
    this.#draw(picture, frame);
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
