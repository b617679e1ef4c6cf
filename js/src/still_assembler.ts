// Still pictures without loss, which come over a data channel of their own. Pure. The other half is
// `gpuview/protocol/still.py`, which describes the messages.

import { ticksSince } from "./latency";
import { MAX_PIXELS } from "./image";
import type { Size } from "./picture_size";

/** The data channel's label. */
export const STILL_CHANNEL = "gpuview-still";

const HEADER_NBYTES = 12;
const MAX_NBYTES = 8 * 1024 * 1024;
/** The low bits of a frame's timestamp number its picture. */
export const PICTURES = 32;
const IHDR = 0x49484452;

export interface Still {
  /** Of the first frame that shows this picture. */
  readonly timestamp: number;
  readonly png: Uint8Array<ArrayBuffer>;
}

/** Puts a still's pieces together. What does not fit is dropped. */
export class StillAssembler {
  #timestamp = 0;
  #png = new Uint8Array(0);
  #received = 0;

  /** Takes the next piece; returns the still when it is whole. */
  take(piece: ArrayBuffer): Still | null {
    if (piece.byteLength <= HEADER_NBYTES) return null;
    const header = new DataView(piece, 0, HEADER_NBYTES);
    const [timestamp, nbytes, offset] = [0, 4, 8].map((at) => header.getUint32(at));
    const part = new Uint8Array(piece, HEADER_NBYTES);
    if (timestamp === undefined || nbytes === undefined || nbytes > MAX_NBYTES) return null;
    if (offset === 0) this.#begin(timestamp, nbytes);
    const is_next = timestamp === this.#timestamp && offset === this.#received;
    if (!is_next || this.#png.length !== nbytes || offset + part.length > nbytes) return null;
    this.#png.set(part, offset);
    this.#received += part.length;
    return this.#received === nbytes ? this.#end() : null;
  }

  #begin(timestamp: number, nbytes: number): void {
    this.#timestamp = timestamp;
    this.#png = new Uint8Array(nbytes);
    this.#received = 0;
  }

  #end(): Still {
    const still = { timestamp: this.#timestamp, png: this.#png };
    this.#begin(0, 0);
    return still;
  }
}

/** Returns the size that a PNG says it has; null if it is none, or too large to be decoded. */
export function pngSize(png: Uint8Array): Size | null {
  if (png.length < 24) return null;
  const view = new DataView(png.buffer, png.byteOffset);
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  return view.getUint32(12) === IHDR && width * height <= MAX_PIXELS ? { width, height } : null;
}

/** Returns the timestamp in the message "moved"; null if it is another one. */
export function movedFrom(message: string): number | null {
  const found = /^moved (\d{1,10})$/.exec(message);
  return found === null ? null : Number(found[1]);
}

/** How the frame on the screen stands to a still. */
export type Match =
  /** The frame is older than the still's picture. */
  | "early"
  /** The frame shows the still's picture. */
  | "same"
  /** The frame shows a later picture: the still never fits again. */
  | "over";

/**
 * Compares timestamps; each counts modulo 2^32.
 *
 * @param still The still's.
 * @param frame The shown frame's.
 * @param moved From which frame on there is another picture, if that is known; it may be older.
 */
export function match(still: number, frame: number, moved: number | null): Match {
  if (ticksSince(still, frame) < 0) return "early";
  const has_moved = moved !== null && ticksSince(still, moved) > 0 && ticksSince(moved, frame) >= 0;
  return has_moved || (frame - still) % PICTURES !== 0 ? "over" : "same";
}
