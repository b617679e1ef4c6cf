// Everything on the page but the picture: the message over it and the line below it.

import { endpoint } from "./addresses";
import type { Caption } from "./caption";
import { button, element } from "./dom";
import type { Panel } from "./panel";
import type { Pair } from "./report";
import type { Figures } from "./stats";
import type { Words } from "./words";

export class Overlay {
  /** Where the player puts its videos. */
  readonly stage = element("div", "gpuview-stage");
  readonly #root: HTMLElement;
  readonly #panel: Panel;
  readonly #message = element("div", "gpuview-message");
  readonly #retry: HTMLButtonElement;
  readonly #dot = element("span", "gpuview-dot");
  readonly #label = element("span", "gpuview-label");
  readonly #figures = element("span", "gpuview-figures");
  #size = "";
  #said = "";

  /** Builds the elements inside `root`. `onRetry`: the button "Try again" was pressed. */
  constructor(root: HTMLElement, panel: Panel, onRetry: () => void) {
    this.#root = root;
    this.#panel = panel;
    this.#retry = button("gpuview-retry", "Try again", onRetry);
    this.#label.setAttribute("role", "status");
    this.#message.ariaLive = "polite";
    this.stage.append(this.#message);
    const enlarge = ({ target }: Event) => isPicture(target) && this.#toggleFullscreen();
    this.stage.addEventListener("dblclick", enlarge);
    const line = element("div", "gpuview-line");
    line.append(this.#dot, this.#label, this.#figures, panel.button);
    if (document.fullscreenEnabled) line.append(this.#fullscreenButton());
    root.classList.add("gpuview");
    root.append(this.stage, line, panel.element);
  }

  /** As in "640×360"; empty before the first frame. */
  get sizeText(): string {
    return this.#size;
  }

  /** Shows what the state is called, and its message. */
  caption({ label, tone, words, is_dimmed, can_retry }: Caption): void {
    this.#dot.dataset["tone"] = tone;
    // Written only when it changes, or a screen reader would say it again and again.
    if (this.#label.textContent !== label) this.#label.textContent = label;
    this.stage.classList.toggle("gpuview-dimmed", is_dimmed);
    this.#say(words, can_retry);
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

  /** Notes the way that the picture comes, for those who read the page; null: none comes. */
  route(pair: Pair | null): void {
    const { dataset } = this.#root;
    if (pair === null) {
      delete dataset["pair"];
      delete dataset["remote"];
      return;
    }
    const { local, remote } = pair;
    dataset["pair"] = `${local.type}-${remote.type}`;
    dataset["remote"] = endpoint(remote.address || "hidden", remote.port);
  }

  #say(words: Words | null, can_retry: boolean): void {
    const said = JSON.stringify([words, can_retry]);
    if (said === this.#said) return; // Somebody may be copying it, or about to press the button.
    this.#said = said;
    const has_focus = this.#retry.matches(":focus");
    this.#message.replaceChildren(
      ...(words === null ? [] : sentences(words)),
      ...(can_retry ? [this.#retry] : []),
    );
    // Or it would fall to the page's start, far from here.
    if (has_focus) (can_retry ? this.#retry : this.#panel.button).focus();
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

/** And no text: a double click there marks a word. */
function isPicture(target: EventTarget | null): boolean {
  return target instanceof Element && target.classList.contains("gpuview-video");
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
