// A part of the picture at the tensor's resolution, which lies over the video where it is zoomed.

import type { Region } from "../messages";
import { pngSize } from "../still";
import { Asker } from "./asker";
import type { Part } from "./viewport";

/** Between two questions: a moving stream is redrawn so often. */
const GAP_MS = 150;
const MAX_NBYTES = 4 * 1024 * 1024;

export interface Wanted {
  readonly part: Part;
  /** Device pixels. */
  readonly width: number;
  readonly height: number;
}

export interface RegionOptions {
  readonly ask: (wanted: Wanted, seq: number) => void;
  /** A drawing is there, and may be asked for anew. */
  readonly onDrawn: (is_frozen: boolean) => void;
  readonly stop: AbortSignal;
}

export class RegionLayer {
  readonly canvas = document.createElement("canvas");
  readonly #options: RegionOptions;
  readonly #asker: Asker<Wanted>;
  #png = new Uint8Array(0);
  #received = 0;
  #decoding = 0;
  /** What is drawn; null if that is nothing. */
  #part: Part | null = null;

  constructor(options: RegionOptions) {
    this.#options = options;
    const { ask, stop } = options;
    this.#asker = new Asker({ ask, gap_ms: GAP_MS, stop });
    this.canvas.className = "gpuview-region";
    this.canvas.hidden = true;
  }

  get part(): Part | null {
    return this.#part;
  }

  want(wanted: Wanted): void {
    this.#asker.want(wanted);
  }

  clear(): void {
    this.#asker.cancel();
    this.#decoding += 1;
    this.#part = null;
    this.canvas.hidden = true;
  }

  take(piece: Region): void {
    if (!this.#asker.expects(piece.seq)) return;
    const { nbytes, offset, data } = piece;
    if (offset === 0)
      [this.#png, this.#received] = [new Uint8Array(Math.min(nbytes, MAX_NBYTES)), 0];
    const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
    const is_next = offset === this.#received && offset + bytes.length <= this.#png.length;
    if (is_next) {
      this.#png.set(bytes, offset);
      this.#received += bytes.length;
    }
    if (is_next && this.#received < this.#png.length) return;
    const wanted = this.#asker.answered(piece.seq);
    if (wanted === null || !is_next || nbytes === 0) return;
    void this.#draw(wanted.part, this.#png, piece.is_frozen);
  }

  async #draw(part: Part, png: Uint8Array<ArrayBuffer>, is_frozen: boolean): Promise<void> {
    this.#decoding += 1;
    const number = this.#decoding;
    const size = pngSize(png);
    if (size === null) return;
    const blob = new Blob([png], { type: "image/png" });
    const options = { colorSpaceConversion: "none" } as const;
    const bitmap = await createImageBitmap(blob, options).catch(() => null);
    if (bitmap === null || number !== this.#decoding || this.#options.stop.aborted) return;
    [this.canvas.width, this.canvas.height] = [size.width, size.height];
    this.canvas.getContext("2d")?.drawImage(bitmap, 0, 0);
    this.canvas.hidden = false;
    this.#part = part;
    this.#options.onDrawn(is_frozen);
  }
}
