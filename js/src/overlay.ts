// Everything on the page but the picture: the message over it and the line below it.

import type { Caption } from "./caption";
import type { Words } from "./state";
import type { Figures } from "./stats";

export class Overlay {
  /** Where the player puts its videos. */
  readonly stage = element("div", "gpuview-stage");
  readonly #root: HTMLElement;
  readonly #message = element("div", "gpuview-message");
  readonly #retry: HTMLButtonElement;
  readonly #dot = element("span", "gpuview-dot");
  readonly #label = element("span", "gpuview-label");
  readonly #figures = element("span", "gpuview-figures");
  #size = "";

  /** Builds the elements inside `root`. `onRetry`: the button "Try again" was pressed. */
  constructor(root: HTMLElement, onRetry: () => void) {
    this.#root = root;
    this.#retry = button("gpuview-retry", "Try again", onRetry);
    this.#label.setAttribute("role", "status");
    this.stage.append(this.#message);
    this.stage.addEventListener("dblclick", () => this.#toggleFullscreen());
    const line = element("div", "gpuview-line");
    line.append(this.#dot, this.#label, this.#figures);
    if (document.fullscreenEnabled) line.append(this.#fullscreenButton());
    root.classList.add("gpuview");
    root.append(this.stage, line);
  }

  /** Shows what the state is called, and its message. */
  caption({ label, tone, words, is_dimmed, can_retry }: Caption): void {
    this.#dot.dataset["tone"] = tone;
    // Written only when it changes, or a screen reader would say it again and again.
    if (this.#label.textContent !== label) this.#label.textContent = label;
    this.stage.classList.toggle("gpuview-dimmed", is_dimmed);
    this.#message.replaceChildren(
      ...(words === null ? [] : sentences(words)),
      ...(can_retry ? [this.#retry] : []),
    );
  }

  /** Shows the size of the frames; `figures` follow. */
  size(width: number, height: number): void {
    this.#size = `${width}×${height}`;
    this.#root.dataset["size"] = `${width}x${height}`;
    this.stage.classList.add("gpuview-has-picture");
    this.#figures.textContent = this.#size;
  }

  /** Shows what came of the last second; null: nothing is known. */
  figures(figures: Figures | null): void {
    if (figures === null) {
      this.#figures.textContent = this.#size;
      this.#figures.title = "";
      delete this.#root.dataset["fps"];
      return;
    }
    const { fps, codec, transport } = figures;
    this.#root.dataset["fps"] = fps.toFixed(1);
    this.#root.dataset["codec"] = codec;
    const parts = [this.#size, `${fps.toFixed(0)} fps`, codec, transport];
    this.#figures.textContent = parts.filter((part) => part !== "").join(" · ");
    this.#figures.title = details(figures);
  }

  #fullscreenButton(): HTMLButtonElement {
    const toggle = button("gpuview-fullscreen", "", () => this.#toggleFullscreen());
    toggle.title = "Full screen";
    toggle.ariaLabel = "Full screen";
    return toggle;
  }

  #toggleFullscreen(): void {
    const done =
      document.fullscreenElement === null
        ? this.stage.requestFullscreen()
        : document.exitFullscreen();
    // Refused by the browser or the page that embeds us; the picture stays as it is.
    done.catch(() => undefined);
  }
}

function sentences({ problem, expected, fix }: Words): HTMLElement[] {
  return [
    element("p", "gpuview-problem", problem),
    ...(expected === "" ? [] : [element("p", "gpuview-expected", `expected: ${expected}`)]),
    ...(fix === "" ? [] : [element("p", "gpuview-fix", `try: ${fix}`)]),
  ];
}

function details({ rtt_ms, dropped, freezes }: Figures): string {
  const rtt = rtt_ms === null ? "round trip unknown" : `round trip ${rtt_ms.toFixed(0)} ms`;
  return `${rtt}, ${dropped} frames dropped, ${freezes} freezes in the last second`;
}

function element(tag: string, className: string, text = ""): HTMLElement {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function button(className: string, text: string, onClick: () => void): HTMLButtonElement {
  const made = document.createElement("button");
  made.type = "button";
  made.className = className;
  made.textContent = text;
  made.addEventListener("click", onClick);
  return made;
}
