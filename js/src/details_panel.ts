// The panel below the picture with the details of a connection; closed until somebody opens it.

import type { Line, Row } from "./details";
import { button, element } from "./dom";
import { Graphs } from "./graphs";
import type { Figures } from "./stats";

export class DetailsPanel {
  /** Opens and closes the panel. */
  readonly button: HTMLButtonElement;
  readonly element = element("div", "gpuview-details");
  readonly #graphs = new Graphs();
  readonly #text = element("div", "", "No connection has been tried.");
  readonly #onOpen: () => void;
  #shown = "";

  /** `onOpen` is called when the panel has been opened and wants to be filled. */
  constructor(onOpen: () => void) {
    this.#onOpen = onOpen;
    this.button = button("gpuview-details-button", "Details", () => this.#toggle());
    this.button.title = "How the picture gets here";
    this.button.setAttribute("aria-expanded", "false");
    this.element.hidden = true;
    this.element.append(this.#graphs.element, this.#text);
  }

  get is_open(): boolean {
    return !this.element.hidden;
  }

  /** Takes the figures of the last second, whether the panel is open or not. */
  add(figures: Figures): void {
    this.#graphs.add(figures, performance.now());
  }

  show(rows: readonly Row[]): void {
    const text = JSON.stringify(rows);
    if (text === this.#shown || this.#hasSelection()) return;
    this.#shown = text;
    const list = element("dl", "gpuview-rows");
    list.append(...rows.flatMap(rowElements));
    this.#text.replaceChildren(list);
  }

  #toggle(): void {
    this.element.hidden = !this.element.hidden;
    this.button.setAttribute("aria-expanded", String(this.is_open));
    if (this.is_open) this.#onOpen();
  }

  /** New text would undo the selection of somebody who is copying. */
  #hasSelection(): boolean {
    const selection = document.getSelection();
    if (selection === null || selection.isCollapsed) return false;
    return [selection.anchorNode, selection.focusNode].some((end) => this.element.contains(end));
  }
}

function rowElements({ term, lines }: Row): HTMLElement[] {
  const value = element("dd", "");
  value.append(...lines.map(paragraph));
  return [element("dt", "", term), value];
}

function paragraph({ text, note }: Line): HTMLElement {
  const made = element("p", "", text);
  if (note !== "") made.append(" ", element("span", "gpuview-note", note));
  return made;
}
