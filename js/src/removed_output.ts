// Keeps the view of a removed output for a moment. A loop that clears its output and displays the
// stream again would otherwise never connect, and use up the browser's connections.

import { element } from "./dom";
import { after } from "./timers";
import type { View } from "./view";

/** A person's loop displays about five times a second, and may wait for a batch in between. */
const KEPT_MS = 2000;

export class LatestRemoved {
  #view: View | null = null;
  #wait = new AbortController();

  /** Takes a removed output's view, and closes the one that it had. */
  keep(view: View): void {
    view.moveTo(element("div", "")); // Its output may be emptied.
    const other = this.#take();
    // Outputs may overlap: what plays is worth more than what is younger.
    const [kept, closed] = other?.is_settled === true ? [other, view] : [view, other];
    closed?.close();
    this.#view = kept;
    this.#wait = new AbortController();
    after(KEPT_MS, () => this.close(), this.#wait.signal);
  }

  /** Moves the view that it has, if any, into another output. */
  moveTo(root: HTMLElement): View | null {
    const view = this.#take();
    view?.moveTo(root);
    return view;
  }

  close(): void {
    this.#take()?.close();
  }

  #take(): View | null {
    const view = this.#view;
    this.#view = null;
    this.#wait.abort();
    return view;
  }
}
