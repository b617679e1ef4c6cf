// Puts an image together that comes in the pieces of several messages. Pure.

const MAX_NBYTES = 4 * 1024 * 1024;

export interface Piece {
  /** Of the whole image; 0 if there is none. */
  readonly nbytes: number;
  /** Of this piece in it. */
  readonly offset: number;
  /** Base64. */
  readonly data: string;
}

export class Pieces {
  #image = new Uint8Array(0);
  #received = 0;

  /** Takes a piece; returns the image when it is whole, null if there is none or a piece is missing. */
  take({ nbytes, offset, data }: Piece): Uint8Array<ArrayBuffer> | "more" | null {
    if (offset === 0)
      [this.#image, this.#received] = [new Uint8Array(Math.min(nbytes, MAX_NBYTES)), 0];
    const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
    const end = offset + bytes.length;
    if (offset !== this.#received || end > this.#image.length) return null;
    this.#image.set(bytes, offset);
    this.#received = end;
    if (end < this.#image.length) return "more";
    return nbytes === 0 ? null : this.#image;
  }
}
