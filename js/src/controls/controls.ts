// The buttons below the picture.

import { element, iconButton } from "../dom";
import type { Model } from "../model";
import type { Screen, ShownPicture } from "../player";
import type { ViewState } from "../state";
import { after } from "../timers";
import { FloatingPicture } from "./floating";
import { toggleFullscreen } from "./fullscreen";
import { copy, isThere } from "./stream_link";
import { RecordButton } from "./record";
import { save } from "./save";

const SAID_MS = 2500;

export interface ControlsOptions {
  readonly model: Model;
  readonly stage: HTMLElement;
  /** Opens the details; the last to lose the keyboard. */
  readonly details: HTMLButtonElement;
  /** What is seen now; null before the first picture. */
  readonly picture: () => ShownPicture | null;
  /** The address of the page that shows this stream alone; null if there is none. */
  readonly link: string | null;
  readonly onPause: () => void;
  readonly onResume: () => void;
  readonly stop: AbortSignal;
}

/** States in which there is something to stop. */
const MOVES: ReadonlySet<ViewState["name"]> = new Set([
  "connecting",
  "waiting",
  "blocked",
  "playing",
  "reconnecting",
]);

export class Controls {
  readonly element = element("div", "gpuview-controls");
  readonly #options: ControlsOptions;
  readonly #pause = iconButton("gpuview-pause", "Pause", () => this.#togglePause());
  readonly #save = iconButton("gpuview-save", "Save a PNG", () => void this.#savePicture());
  readonly #link = iconButton("gpuview-link", "Copy a link", () => void this.#copyLink());
  readonly #float = iconButton(
    "gpuview-float",
    "Picture in picture",
    () => void this.#toggleFloat(),
  );
  readonly #floating: FloatingPicture;
  readonly #record: RecordButton;
  /** What came of the last click, for a moment. */
  readonly #said = element("span", "gpuview-said");
  #saying = new AbortController();
  #is_paused = false;
  #has_asked = false;

  constructor(options: ControlsOptions) {
    this.#options = options;
    this.#floating = new FloatingPicture(() => this.#paintFloat(), options.stop);
    this.#record = new RecordButton(options.model, (text) => this.#say(text), options.stop);
    this.element.setAttribute("role", "group");
    this.element.ariaLabel = "Picture";
    this.#said.setAttribute("role", "status");
    this.#link.title = "Copy a link to a page that shows this stream alone";
    this.#link.hidden = true;
    this.#float.hidden = !FloatingPicture.is_possible;
    this.element.append(this.#pause, this.#save, this.#record.element, this.#float, this.#link);
    if (document.fullscreenEnabled) this.element.append(this.#fullscreen());
    this.element.append(options.details, this.#said);
    this.#paintFloat();
  }

  /** Puts another button before those that lead away from this picture. */
  add(button: HTMLElement): void {
    this.#float.before(button);
  }

  /** Follows the view's state, and what it shows. */
  show(state: ViewState["name"]): void {
    this.#showPause(state);
    this.#save.title = this.#options.picture()?.is_exact
      ? "Save a PNG: exact, every pixel as it was pushed"
      : "Save a PNG of what is shown: video, not pixel for pixel as it was pushed";
    if (!MOVES.has(state)) this.#floating.close(); // There is nothing to follow.
    this.#float.hidden = !FloatingPicture.is_possible || !MOVES.has(state);
    this.#record.show(MOVES.has(state));
    if (state === "playing") void this.#lookForLink();
  }

  /** Takes the keyboard from a control that is about to vanish with the pause. */
  focusPause(): void {
    this.#pause.focus();
  }

  /** Goes on with the screen of another connection. */
  follow(screen: Screen): void {
    this.#floating.follow(screen);
  }

  #showPause(state: ViewState["name"]): void {
    this.#is_paused = state === "paused";
    const had_focus = this.#pause.matches(":focus");
    this.#pause.hidden = !this.#is_paused && !MOVES.has(state);
    // Otherwise the focus would jump to the start of the page.
    if (had_focus && this.#pause.hidden) this.#options.details.focus();
    const label = this.#is_paused ? "Play" : "Pause";
    if (this.#pause.ariaLabel === label) return;
    this.#pause.ariaLabel = label;
    this.#pause.title = this.#is_paused ? "Play: show what is new" : "Pause: keep this picture";
    this.#pause.classList.toggle("gpuview-resume", this.#is_paused);
  }

  #togglePause(): void {
    const { onPause, onResume } = this.#options;
    if (this.#is_paused) onResume();
    else onPause();
  }

  async #savePicture(): Promise<void> {
    const picture = this.#options.picture();
    if (picture === null) return;
    const is_saved = await save(picture.screen, new Date());
    this.#say(is_saved ? "saved" : "the browser could not save the picture");
  }

  /** Asks once, when there is a picture: only then is the link of use. */
  async #lookForLink(): Promise<void> {
    const { link } = this.#options;
    if (link === null || this.#has_asked) return;
    this.#has_asked = true;
    this.#link.hidden = !(await isThere(link));
  }

  async #copyLink(): Promise<void> {
    const is_copied = await copy(this.#options.link ?? "");
    this.#say(is_copied ? "link copied" : "the browser does not allow copying");
  }

  async #toggleFloat(): Promise<void> {
    if (this.#floating.is_open) return this.#floating.close();
    const picture = this.#options.picture();
    if (picture === null) return;
    const is_open = await this.#floating.open(picture.moving);
    if (!is_open) this.#say("the browser does not allow picture in picture");
  }

  #paintFloat(): void {
    this.#float.ariaPressed = String(this.#floating.is_open);
  }

  #fullscreen(): HTMLButtonElement {
    return iconButton("gpuview-fullscreen", "Full screen", () =>
      toggleFullscreen(this.#options.stage),
    );
  }

  #say(text: string): void {
    this.#saying.abort();
    this.#saying = new AbortController();
    this.#said.textContent = text;
    const stop = AbortSignal.any([this.#saying.signal, this.#options.stop]);
    after(SAID_MS, () => (this.#said.textContent = ""), stop);
  }
}
