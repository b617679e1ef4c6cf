// Where the frames of one connection are drawn: one picture as large as its frames, or a grid.

import type { Grid } from "../grid/grid";
import { fit, type Layout, type Rect } from "../grid/layout";
import type { Size } from "../picture_size";
import { draw } from "../player";

export class Board {
  readonly canvas = document.createElement("canvas");
  readonly #context = this.canvas.getContext("2d", { alpha: false });
  readonly #grid: Grid;
  #layout: Layout | null = null;

  constructor(grid: Grid, stop: AbortSignal) {
    this.#grid = grid;
    grid.follow(() => this.#layOut(), stop);
    this.#layOut();
  }

  /** Draws a frame of this size, in a grid in the place of its rank. */
  draw(picture: CanvasImageSource, size: Size, tile: number): void {
    const context = this.#context;
    if (context === null) return; // A browser gives out only so many.
    const { width, height } = size;
    if (this.#layout === null) this.#resize(size);
    const whole = { x: 0, y: 0, width, height };
    const place = this.#layout === null ? whole : this.#layout.places.get(tile);
    if (place === undefined) return; // A rank of which nothing has been said.
    const to = fit(size, place);
    if (to.width < place.width || to.height < place.height) clear(context, place);
    // Without what a decoder adds to fill its blocks: Firefox shows 1088 lines of 1080.
    context.drawImage(picture, 0, 0, width, height, to.x, to.y, to.width, to.height);
  }

  /** Puts the pictures that are there into their new places. */
  #layOut(): void {
    const [before, layout] = [this.#layout, this.#grid.layout];
    this.#layout = layout;
    if (layout === null) return;
    const kept = before === null ? null : draw(this.canvas);
    this.#resize(layout);
    for (const [rank, to] of layout.places) {
      const from = before?.places.get(rank);
      if (kept === null || from === undefined) continue;
      const target = [to.x, to.y, to.width, to.height] as const;
      this.#context?.drawImage(kept, from.x, from.y, from.width, from.height, ...target);
    }
  }

  #resize({ width, height }: Size): void {
    // To set a canvas's size clears it.
    if (this.canvas.width !== width) this.canvas.width = width;
    if (this.canvas.height !== height) this.canvas.height = height;
  }
}

function clear(context: CanvasRenderingContext2D, { x, y, width, height }: Rect): void {
  context.fillStyle = "#000";
  context.fillRect(x, y, width, height);
}
