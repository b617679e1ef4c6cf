// Everything on the page except the picture and the details: the message, and the line below.

import { endpoint } from "./addresses";
import type { Caption } from "./caption";
import { colourBar } from "./colour_bar";
import { Controls } from "./controls/controls";
import { toggleFullscreen } from "./controls/fullscreen";
import { latencyText } from "./details";
import type { DetailsPanel } from "./details_panel";
import { button, element } from "./dom";
import type { LegendEntry, Problem } from "./messages";
import type { Model } from "./model";
import { rateText } from "./motion";
import type { PictureSize } from "./picture_size";
import type { ShownPicture } from "./player";
import type { Figures } from "./stats";
import type { CandidatePair } from "./stats_report";

export interface Buttons {
  /** What is seen now; null before the first picture. */
  readonly picture: () => ShownPicture | null;
  /** The address of the page that shows this stream alone; null if there is none. */
  readonly link: string | null;
  readonly model: Model;
  /** "Pause" was pressed. */
  readonly onPause: () => void;
  /** "Play" was pressed after that. */
  readonly onResume: () => void;
  readonly stop: AbortSignal;
  /** "Try again" was pressed. */
  readonly onRetry: () => void;
  /** "Play" was pressed over a video that the browser does not start. */
  readonly onPlay: () => void;
}

/** What a slow link makes of the picture. */
const SCALES: Readonly<Record<number, string>> = { 2: " at half size", 4: " at quarter size" };

export class Overlay {
  /** Where the player puts its videos. */
  readonly stage = element("div", "gpuview-stage");
  readonly controls: Controls;
  #root: HTMLElement;
  readonly #details: DetailsPanel;
  readonly #message = element("div", "gpuview-message");
  readonly #retry: HTMLButtonElement;
  readonly #play: HTMLButtonElement;
  readonly #dot = element("span", "gpuview-dot");
  readonly #label = element("span", "gpuview-label");
  /** Apart from the label, which a screen reader would say again each second. */
  readonly #age = element("span", "gpuview-age");
  readonly #figures = element("span", "gpuview-figures");
  readonly #caption = element("div", "gpuview-caption");
  readonly #legend = element("div", "gpuview-legend");
  readonly #hint = element("div", "gpuview-hint");
  #size = "";
  #copy = "";
  #is_exact = false;
  #shown_figures: Figures | null = null;
  #shown_message = "";
  #shown_legend = "[]";

  /** Builds the elements inside `root`. */
  constructor(root: HTMLElement, details: DetailsPanel, buttons: Buttons) {
    const { onRetry, onPlay } = buttons;
    this.#root = root;
    this.#details = details;
    this.#retry = button("gpuview-retry", "Try again", onRetry);
    this.#play = button("gpuview-play", "", onPlay);
    this.#play.ariaLabel = "Play";
    this.#play.title = "Play: this browser does not start videos by itself";
    this.#label.setAttribute("role", "status");
    this.#message.ariaLive = this.#hint.ariaLive = "polite";
    this.stage.append(this.#message, this.#play);
    const enlarge = ({ target }: Event) => isPicture(target) && toggleFullscreen(this.stage);
    this.stage.addEventListener("dblclick", enlarge);
    const line = element("div", "gpuview-line");
    const state = element("div", "gpuview-state");
    const words = element("span", "gpuview-words");
    words.append(this.#label, this.#age);
    state.append(this.#dot, words, this.#figures);
    this.controls = new Controls({ ...buttons, stage: this.stage, details: details.button });
    line.append(state, this.controls.element);
    root.classList.add("gpuview");
    root.append(this.stage, line, this.#caption, this.#legend, this.#hint, details.element);
  }

  /** Adds something that is switched on by a button and has a place below the picture. */
  add(tool: { readonly button: HTMLElement; readonly strip: HTMLElement }): void {
    this.controls.add(tool.button);
    this.addBar(tool.strip);
  }

  /** Puts something that is seen only at times below the picture. */
  addBar(bar: HTMLElement): void {
    this.#caption.before(bar);
  }

  /** Puts the knobs below the picture, and below the line about it for the keyboard. */
  addKnobs(knobs: HTMLElement): void {
    this.#legend.after(knobs);
  }

  get root(): HTMLElement {
    return this.#root;
  }

  /** Puts everything into another element, which says the same for scripts. */
  moveTo(root: HTMLElement): void {
    root.classList.add("gpuview");
    for (const flag of ["data-exact", "data-grid", "data-paused"]) {
      root.toggleAttribute(flag, this.#root.hasAttribute(flag));
    }
    Object.assign(root.dataset, this.#root.dataset);
    root.append(...this.#root.childNodes);
    this.#root = root;
  }

  /** As in "640×360", or "640×360 at half size"; empty before the first frame. */
  get size(): string {
    return this.#size + this.#copy;
  }

  /** Shows the user's own line. */
  showLine(text: string): void {
    if (this.#caption.textContent !== text) this.#caption.textContent = text;
  }

  showCaption({ label, age, tone, message, hint, legend, ...rest }: Caption): void {
    this.#dot.dataset["tone"] = tone;
    // Written only if it changes, or a screen reader would say it again and again.
    if (this.#label.textContent !== label) this.#label.textContent = this.#label.title = label;
    this.#age.textContent = age;
    if (this.#hint.textContent !== hint) this.#hint.textContent = hint;
    if (legend !== null) {
      this.#showLegend(legend);
      this.hideLegend(false);
    }
    this.stage.classList.toggle("gpuview-dimmed", rest.is_dimmed);
    this.#showMessage(message, rest.can_retry);
    this.#showPlay(rest.can_play);
  }

  /** Shows the size of the frames until `showFigures` is called. */
  showSize({ width, height, scale }: PictureSize): void {
    const [size, copy] = [`${width}×${height}`, SCALES[scale] ?? ""];
    if (size + copy === this.size) return; // Or the figures would vanish until they are new.
    [this.#size, this.#copy] = [size, copy];
    this.#root.dataset["size"] = `${width}x${height}`;
    this.stage.classList.add("gpuview-has-picture");
    this.#shown_figures = null;
    this.#writeFigures();
  }

  /** Says whether every pixel is as it was pushed. */
  showExact(is_exact: boolean): void {
    this.#is_exact = is_exact;
    this.#root.toggleAttribute("data-exact", is_exact);
    this.#writeFigures();
  }

  /** Shows the figures of the last second, and puts figures and route into the DOM for scripts. */
  showFigures(figures: Figures | null, pair: CandidatePair | null): void {
    const { dataset } = this.#root;
    if (figures === null) {
      delete dataset["fps"];
    } else {
      const { fps, codec } = figures;
      dataset["fps"] = fps.toFixed(1);
      dataset["codec"] = codec;
    }
    if (pair === null) {
      delete dataset["pair"];
      delete dataset["remote"];
    } else {
      dataset["pair"] = `${pair.local.type}-${pair.remote.type}`;
      dataset["remote"] = endpoint(pair.remote.address || "hidden", pair.remote.port);
    }
    this.#shown_figures = figures;
    this.#figures.title = figures === null ? "" : tooltip(figures);
    this.#writeFigures();
  }

  #writeFigures(): void {
    const figures = this.#shown_figures;
    const parts = this.#is_exact ? [this.#size, "exact"] : [this.size];
    if (figures !== null) {
      const rate = figures.fps >= 0.05 ? `${rateText(figures.fps)} fps` : "";
      parts.push(rate, figures.codec, figures.transport);
    }
    this.#figures.textContent = parts.filter((part) => part !== "").join(" · ");
  }

  #showMessage(message: Problem | null, can_retry: boolean): void {
    const shown = JSON.stringify([message, can_retry]);
    if (shown === this.#shown_message) return; // Somebody may be copying it or pressing the button.
    this.#shown_message = shown;
    const had_focus = this.#retry.matches(":focus");
    this.#message.replaceChildren(
      ...(message === null ? [] : paragraphs(message)),
      ...(can_retry ? [this.#retry] : []),
    );
    // Otherwise the focus would jump to the start of the page.
    if (had_focus) (can_retry ? this.#retry : this.#details.button).focus();
  }

  /** Hides what the colours of the paused picture mean, until it is seen again. */
  hideLegend(is_hidden: boolean): void {
    this.#legend.hidden = is_hidden;
  }

  #showLegend(legend: readonly LegendEntry[]): void {
    const shown = JSON.stringify(legend);
    if (shown === this.#shown_legend) return; // Somebody may be copying it.
    this.#shown_legend = shown;
    this.#legend.replaceChildren(...legend.map(entry));
  }

  #showPlay(can_play: boolean): void {
    const had_focus = this.#play.matches(":focus");
    this.#play.hidden = !can_play;
    if (had_focus && !can_play) this.#details.button.focus();
  }
}

/** A double click on text selects a word instead. */
function isPicture(target: EventTarget | null): boolean {
  return target instanceof Element && target.classList.contains("gpuview-video");
}

function paragraphs({ problem, expected, fix }: Problem): HTMLElement[] {
  return [
    element("p", "gpuview-problem", problem),
    ...(expected === "" ? [] : [element("p", "gpuview-expected", `expected: ${expected}`)]),
    ...(fix === "" ? [] : [element("p", "gpuview-fix", `try: ${fix}`)]),
  ];
}

function entry({ text, colour, bar }: LegendEntry): HTMLElement {
  if (bar !== undefined) return colourBar(text, bar);
  const made = element("span", "gpuview-entry", text);
  if (colour !== "") {
    const swatch = element("span", "gpuview-swatch");
    swatch.style.backgroundColor = colour;
    made.prepend(swatch);
  }
  return made;
}

function tooltip({ latency, rtt_ms, dropped, freezes }: Figures): string {
  const rtt = rtt_ms === null ? "round trip unknown" : `round trip ${rtt_ms.toFixed(0)} ms`;
  return `${latencyText(latency)}, ${rtt}, dropped frames: ${dropped}, freezes: ${freezes} in the last second`;
}
