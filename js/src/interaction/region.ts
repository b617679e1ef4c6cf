// A part of the picture at the tensor's resolution, which lies over the video where it is zoomed.

import { decodeOnto } from "../image";
import type { Region } from "../messages";
import { pngSize } from "../still_assembler";
import { Asker } from "./asker";
import { Pieces } from "./pieces";
import type { Part } from "./viewport";

/** Between two questions: a moving stream is redrawn so often. */
const GAP_MS = 150;

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
  readonly #pieces = new Pieces();
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
    if (!this.#asker.hear(piece.seq)) return;
    const png = this.#pieces.take(piece);
    if (png === "more") return;
    const wanted = this.#asker.answered(piece.seq);
    if (wanted !== null && png !== null) void this.#draw(wanted.part, png, piece.is_frozen);
  }

  async #draw(part: Part, png: Uint8Array<ArrayBuffer>, is_frozen: boolean): Promise<void> {
    this.#decoding += 1;
    const number = this.#decoding;
    if (pngSize(png) === null) return;
    const blob = new Blob([png], { type: "image/png" });
    const isWanted = () => number === this.#decoding && !this.#options.stop.aborted;
    if ((await decodeOnto(this.canvas, blob, isWanted)) === null) return;
    this.canvas.hidden = false;
    this.#part = part;
    this.#options.onDrawn(is_frozen);
  }
}
