// How much room a view has for its picture, by which the kernel arranges panels.

import type { Model } from "./model";
import { after } from "./timers";

/** Whoever drags an edge is not told about each pixel. */
const REST_MS = 300;

export class Room {
  readonly #model: Model;
  readonly #stop: AbortSignal;
  readonly #observer = new ResizeObserver(() => this.#look());
  #root: HTMLElement;
  #parent: Element | null = null;
  #last_sent = 0;
  #resting = new AbortController();

  /** Tells the room of `root` at once, and then each change, until `stop` is aborted. */
  constructor(model: Model, root: HTMLElement, stop: AbortSignal) {
    [this.#model, this.#root, this.#stop] = [model, root, stop];
    stop.addEventListener("abort", () => this.#observer.disconnect(), { once: true });
    this.moveTo(root);
  }

  /** Goes on in another output of the stream. */
  moveTo(root: HTMLElement): void {
    this.#observer.disconnect();
    [this.#root, this.#parent] = [root, null];
    this.#observer.observe(root);
  }

  #look(): void {
    const { parentElement } = this.#root;
    if (parentElement !== this.#parent && parentElement !== null) {
      this.#parent = parentElement; // Not there until now; and it may grow while the view does not.
      this.#observer.observe(parentElement);
    }
    this.#resting.abort();
    this.#resting = new AbortController();
    if (this.#last_sent === 0) return this.#tell();
    const stop = AbortSignal.any([this.#stop, this.#resting.signal]);
    after(REST_MS, () => this.#tell(), stop);
  }

  #tell(): void {
    const width = roomOf(this.#root);
    if (width < 1 || width === this.#last_sent) return; // Hidden, or as it was.
    this.#last_sent = width;
    this.#model.send({ type: "Room", width });
  }
}

/**
 * Returns the width that a view may have in its parent, 0 where that is hidden. The view's own width
 * would not do: it follows the picture's, which would then follow itself.
 */
export function roomOf(root: HTMLElement): number {
  const parent = root.parentElement;
  if (parent === null) return 0;
  const { display, flexDirection } = getComputedStyle(parent);
  const is_row = display.endsWith("flex") && !flexDirection.startsWith("column");
  return Math.round(parent.clientWidth / (is_row ? parent.children.length : 1));
}
