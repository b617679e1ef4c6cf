// How one view talks about its picture with the kernel and with the media process: by the fastest
// way that is open. What it says over a connection to the media process reaches the kernel while a
// cell runs.

import type { FromView, ToView } from "../messages";
import { listen, type Model } from "../model";

type Send = (message: FromView) => boolean;

/** A message without what is the same in each. */
export type Said = FromView extends infer Message
  ? Message extends FromView
    ? Omit<Message, "view">
    : never
  : never;

export interface LineOptions {
  readonly view: string;
  readonly model: Model;
  /** Connections to the media process, the best one first. Each returns false if it is not open. */
  readonly ways: readonly Send[];
  readonly stop: AbortSignal;
}

export class Line {
  readonly #options: LineOptions;
  readonly #readers = new Set<(message: ToView) => void>();

  constructor(options: LineOptions) {
    this.#options = options;
    const read = (content: unknown) => this.hear(content as ToView); // From our own kernel half.
    listen(options.model, "msg:custom", read, options.stop);
  }

  /** Says something to the kernel, or to the media process. */
  say(said: Said): void {
    const { view, model, ways } = this.#options;
    const message = { ...said, view } as FromView;
    if (ways.some((send) => send(message))) return;
    try {
      model.send(message);
    } catch {
      // The kernel was shut down, as signalling finds out as well.
    }
  }

  /** Calls `read` with what this view is told, until `stop` is aborted. */
  listen(read: (message: ToView) => void, stop: AbortSignal): void {
    this.#readers.add(read);
    stop.addEventListener("abort", () => this.#readers.delete(read), { once: true });
  }

  /** Takes what comes over a connection, be it for this view or not. */
  hear(message: ToView): void {
    const { view } = message as { view?: string };
    if (view === this.#options.view) for (const read of [...this.#readers]) read(message);
  }
}
