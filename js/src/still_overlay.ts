// Shows the stills of one connection: each lies over the video while the video shows its picture.

import { decodeOnto } from "./image";
import type { ShownFrame } from "./latency";
import { match, movedFrom, pngSize, StillAssembler, type Still } from "./still_assembler";

export interface StillsOptions {
  /** Gets what is to lie over the video; null for nothing. */
  readonly onCover: (picture: HTMLCanvasElement | null) => void;
  /** Ends with the connection. */
  readonly stop: AbortSignal;
}

interface Decoded {
  readonly timestamp: number;
  readonly canvas: HTMLCanvasElement;
}

export class Stills {
  readonly #options: StillsOptions;
  readonly #assembler = new StillAssembler();
  #newest: Still | null = null;
  /** The newest still, until the video has moved on. */
  #decoded: Decoded | null = null;
  #moved: number | null = null;
  /** The timestamp of the frame on the screen. */
  #frame: number | null = null;
  #cover: HTMLCanvasElement | null = null;

  constructor(options: StillsOptions) {
    this.#options = options;
  }

  /** Takes a message of the data channel. */
  take(message: ArrayBuffer | string): void {
    if (typeof message === "string") {
      this.#moved = movedFrom(message) ?? this.#moved;
      this.#update();
      return;
    }
    const still = this.#assembler.take(message);
    if (still !== null) void this.#decode(still);
  }

  /** Takes note of the frame that is on the screen now. */
  see({ rtpTimestamp }: ShownFrame): void {
    this.#frame = rtpTimestamp ?? null;
    this.#update();
  }

  /** Lays the still over a video that begins anew, if it shows its picture. */
  coverAgain(): void {
    this.#cover = null;
    this.#update();
  }

  async #decode(still: Still): Promise<void> {
    this.#newest = still;
    if (pngSize(still.png) === null) return;
    const blob = new Blob([still.png], { type: "image/png" });
    const isWanted = () => !this.#options.stop.aborted && this.#newest === still;
    const canvas = await decodeOnto(document.createElement("canvas"), blob, isWanted);
    if (canvas === null) return;
    this.#decoded = { timestamp: still.timestamp, canvas };
    this.#update();
  }

  #update(): void {
    const found =
      this.#decoded === null || this.#frame === null
        ? "early"
        : match(this.#decoded.timestamp, this.#frame, this.#moved);
    // Never again: the pictures' numbers repeat.
    if (found === "over") this.#decoded = null;
    const cover = found === "same" ? (this.#decoded?.canvas ?? null) : null;
    if (cover === this.#cover) return;
    this.#cover = cover;
    this.#options.onCover(cover);
  }
}
