// The details of a connection, below the picture; closed until somebody asks.

import type { Line, Row } from "./details";
import { button, element } from "./dom";

export class Panel {
  /** Opens and closes the panel. */
  readonly button: HTMLButtonElement;
  readonly element = element("div", "gpuview-panel", "No connection has been tried.");
  readonly #onOpen: () => void;
  #shown = "";

  /** `onOpen`: the panel was opened, and wants to be filled. */
  constructor(onOpen: () => void) {
    this.#onOpen = onOpen;
    this.button = button("gpuview-details", "Details", () => this.#toggle());
    this.button.title = "How this picture comes here";
    this.button.setAttribute("aria-expanded", "false");
    this.element.hidden = true;
  }

  get isOpen(): boolean {
    return !this.element.hidden;
  }

  show(rows: readonly Row[]): void {
    const text = JSON.stringify(rows);
    if (text === this.#shown || this.#isBeingCopied()) return;
    this.#shown = text;
    const list = element("dl", "gpuview-rows");
    list.append(...rows.flatMap(terms));
    this.element.replaceChildren(list);
  }

  #toggle(): void {
    this.element.hidden = !this.element.hidden;
    this.button.setAttribute("aria-expanded", String(this.isOpen));
    if (this.isOpen) this.#onOpen();
  }

  /** New text would take a selection away under somebody's hands. */
  #isBeingCopied(): boolean {
    const selection = document.getSelection();
    if (selection === null || selection.isCollapsed) return false;
    return [selection.anchorNode, selection.focusNode].some((end) => this.element.contains(end));
  }
}

function terms({ term, lines }: Row): HTMLElement[] {
  const value = element("dd", "");
  value.append(...lines.map(paragraph));
  return [element("dt", "", term), value];
}

function paragraph({ text, note }: Line): HTMLElement {
  const made = element("p", "", text);
  if (note !== "") made.append(" ", element("span", "gpuview-note", note));
  return made;
}
