// Whether somebody can see the picture: not in a tab behind others, nor in an output that is collapsed
// or scrolled away. What nobody sees is not sent.

import { after } from "./timers";

/** Whoever scrolls past or looks at another tab for a moment loses nothing. */
const LEAVE_MS = 1000;
/** A picture that is about to come into view is there when it does. */
const MARGIN = "300px";

export class Attention {
  readonly #stage: HTMLElement;
  readonly #onChange: () => void;
  readonly #stop: AbortSignal;
  #is_near = true;
  #is_seen = true;
  #leaving: AbortController | null = null;

  /** Watches the element of the picture until `stop` is aborted. */
  constructor(stage: HTMLElement, onChange: () => void, stop: AbortSignal) {
    this.#stage = stage;
    this.#onChange = onChange;
    this.#stop = stop;
    const observer = new IntersectionObserver((entries) => this.#look(entries), {
      rootMargin: MARGIN,
    });
    observer.observe(stage);
    stop.addEventListener("abort", () => observer.disconnect(), { once: true });
    const follow = () => this.#follow();
    document.addEventListener("visibilitychange", follow, { signal: stop });
    // These do not bubble.
    for (const type of ["enterpictureinpicture", "leavepictureinpicture"]) {
      stage.addEventListener(type, follow, { capture: true, signal: stop });
    }
    this.#follow();
  }

  get is_seen(): boolean {
    return this.#is_seen;
  }

  #look(entries: readonly IntersectionObserverEntry[]): void {
    this.#is_near = entries.at(-1)?.isIntersecting ?? this.#is_near;
    this.#follow();
  }

  #follow(): void {
    if (this.#canBeSeen) {
      this.#leaving?.abort();
      this.#leaving = null;
      this.#set(true);
    } else if (this.#leaving === null) {
      this.#leaving = new AbortController();
      const stop = AbortSignal.any([this.#stop, this.#leaving.signal]);
      after(LEAVE_MS, () => this.#set(false), stop);
    }
  }

  get #canBeSeen(): boolean {
    const floating = document.pictureInPictureElement ?? null;
    return (this.#is_near && !document.hidden) || this.#stage.contains(floating);
  }

  #set(is_seen: boolean): void {
    if (is_seen === this.#is_seen) return;
    this.#is_seen = is_seen;
    this.#onChange();
  }
}
