// The button that records the stream to a file beside the notebook. The kernel makes the name.

import { iconButton } from "../dom";
import { listen, type Model, type Recording } from "../model";
import { after } from "../timers";

const PATIENCE_MS = 3000;
const NONE: Recording = { state: "off", text: "" };

export class RecordButton {
  readonly element = iconButton("gpuview-record", "Record", () => this.#toggle());
  readonly #model: Model;
  readonly #say: (text: string) => void;
  readonly #stop: AbortSignal;
  #asking = new AbortController();

  /** `say` shows a text in the view for a moment. */
  constructor(model: Model, say: (text: string) => void, stop: AbortSignal) {
    this.#model = model;
    this.#say = say;
    this.#stop = stop;
    listen(model, "change:recording", () => this.#follow(), stop);
    this.#paint();
  }

  /** Shows the button where it is of use. */
  show(is_live: boolean): void {
    this.element.hidden = this.#model.get("recording") === null || !(is_live || this.#is_on);
  }

  get #is_on(): boolean {
    return this.#model.get("recording")?.state === "on";
  }

  #toggle(): void {
    this.#asking.abort();
    this.#asking = new AbortController();
    this.#model.send({ type: "Record", is_on: !this.#is_on });
    const busy = () => this.#say("the kernel is busy: this waits for it");
    after(PATIENCE_MS, busy, AbortSignal.any([this.#asking.signal, this.#stop]));
  }

  #follow(): void {
    this.#asking.abort();
    this.#paint();
    const { state, text } = this.#model.get("recording") ?? NONE;
    if (state === "on") this.#say(`recording ${text}`);
    else if (state === "saved") this.#say(`saved ${text}`);
    else if (state === "failed") this.#say(`not recorded: ${text}`);
  }

  #paint(): void {
    const { state, text } = this.#model.get("recording") ?? NONE;
    this.element.ariaPressed = String(this.#is_on);
    this.element.ariaLabel = this.#is_on ? "Stop recording" : "Record";
    const last = state === "saved" ? `. Saved last: ${text}` : "";
    this.element.title = this.#is_on
      ? `Stop recording ${text}`
      : `Record to an MP4 file in the kernel's working directory${last}`;
  }
}
