// The knobs below the picture: what Python has declared, drawn with the browser's own controls, so that
// keyboard and screen reader work. All text is text.

import { button, element } from "../dom";
import type { Knob } from "../messages";
import { after } from "../timers";
import type { Line } from "./line";
import { Scale, valueText } from "./scale";

/** After a person has moved a knob, it follows the kernel again so much later. */
const HOLD_MS = 400;

type Value = Knob["value"];

/** The row of one knob. */
interface Row {
  readonly element: HTMLElement;
  show(value: Value): void;
}

export class Knobs {
  readonly element = element("div", "gpuview-knobs");
  readonly #line: Line;
  readonly #stop: AbortSignal;
  readonly #rows = new Map<string, { row: Row; drawn: string }>();
  /** What the kernel has said last. */
  #knobs: readonly Knob[] = [];
  /** The values that are not sent yet. */
  readonly #moved = new Map<string, Value>();
  /** Knobs that a person moves just now. */
  readonly #held = new Map<string, AbortController>();

  constructor(line: Line, stop: AbortSignal) {
    this.#line = line;
    this.#stop = stop;
    this.element.setAttribute("role", "group");
    this.element.ariaLabel = "Knobs";
    this.element.hidden = true;
    // The arrows turn a knob, and select no cell.
    this.element.setAttribute("data-lm-suppress-shortcuts", "true");
    const keep = (event: Event) => event.stopPropagation();
    this.element.addEventListener("keydown", keep, { signal: stop });
  }

  /** Draws these knobs, in this order, with these values. */
  show(knobs: readonly Knob[]): void {
    this.#knobs = knobs;
    this.element.hidden = knobs.length === 0;
    const names = new Set(knobs.map(({ name }) => name));
    for (const [name, { row }] of [...this.#rows]) {
      if (names.has(name)) continue;
      row.element.remove();
      this.#rows.delete(name);
    }
    for (const knob of knobs) this.#showOne(knob);
  }

  #showOne(knob: Knob): void {
    const drawn = JSON.stringify({ ...knob, value: null });
    const found = this.#rows.get(knob.name);
    if (found?.drawn === drawn) {
      if (!this.#held.has(knob.name)) found.row.show(knob.value);
      return;
    }
    const row = this.#draw(knob);
    row.show(knob.value);
    if (found === undefined) this.element.append(row.element);
    else found.row.element.replaceWith(row.element);
    this.#rows.set(knob.name, { row, drawn });
  }

  #draw(knob: Knob): Row {
    const move = (value: Value) => this.#move(knob.name, value);
    switch (knob.kind) {
      case "slider":
        return slider(knob, move);
      case "toggle":
        return toggle(knob, move);
      case "choice":
        return choice(knob, move);
      case "button":
        return press(knob, () => this.#line.say({ type: "SetKnob", name: knob.name, value: 1 }));
    }
  }

  /** Sends a value with the next frame, the newest of each knob. */
  #move(name: string, value: Value): void {
    if (this.#moved.size === 0) requestAnimationFrame(() => this.#flush());
    this.#moved.set(name, value);
    this.#hold(name);
  }

  #flush(): void {
    for (const [name, value] of this.#moved) this.#line.say({ type: "SetKnob", name, value });
    this.#moved.clear();
  }

  /** Otherwise what the kernel still says of an earlier value would pull the handle back. */
  #hold(name: string): void {
    this.#held.get(name)?.abort();
    const holding = new AbortController();
    this.#held.set(name, holding);
    const release = () => {
      this.#held.delete(name);
      const knob = this.#knobs.find((each) => each.name === name);
      if (knob !== undefined) this.#rows.get(name)?.row.show(knob.value);
    };
    after(HOLD_MS, release, AbortSignal.any([this.#stop, holding.signal]));
  }
}

function slider(knob: Knob, move: (value: Value) => void): Row {
  const scale = new Scale(knob);
  const is_vector = Array.isArray(knob.value);
  const numbers = numbersOf(knob.value);
  const label = element("span", "gpuview-knob-name", knob.name);
  const said = element("output", "gpuview-knob-value");
  const handles = element("span", "gpuview-knob-handles");
  const inputs = numbers.map((_, index) => {
    const input = document.createElement("input");
    input.type = "range";
    input.min = "0";
    input.max = String(scale.positions);
    input.step = "1";
    input.ariaLabel = is_vector ? `${knob.name} ${index}` : knob.name;
    return input;
  });
  const show = (values: readonly number[]) => {
    inputs.forEach((input, index) => {
      const value = values[index] ?? scale.low;
      input.value = String(scale.position(value));
      input.setAttribute("aria-valuetext", valueText(value));
    });
    said.textContent = values.map(valueText).join(", ");
  };
  let current = numbers;
  inputs.forEach((input, index) =>
    input.addEventListener("input", () => {
      const value = scale.value(Number(input.value));
      current = current.map((each, at) => (at === index ? value : each));
      input.setAttribute("aria-valuetext", valueText(value));
      said.textContent = current.map(valueText).join(", ");
      move(is_vector ? [...current] : value);
    }),
  );
  handles.append(...inputs);
  const row = element("div", "gpuview-knob");
  row.append(label, handles, said);
  return {
    element: row,
    show: (value) => {
      current = numbersOf(value);
      show(current);
    },
  };
}

function toggle(knob: Knob, move: (value: Value) => void): Row {
  const input = document.createElement("input");
  input.type = "checkbox";
  input.setAttribute("role", "switch");
  input.addEventListener("change", () => move(input.checked));
  return labelled(knob, input, (value) => (input.checked = value === true));
}

function choice(knob: Knob, move: (value: Value) => void): Row {
  const select = document.createElement("select");
  for (const text of knob.options) {
    const option = document.createElement("option");
    option.value = option.textContent = text;
    select.append(option);
  }
  select.addEventListener("change", () => move(select.value));
  return labelled(knob, select, (value) => (select.value = String(value)));
}

function press(knob: Knob, onPress: () => void): Row {
  const row = element("div", "gpuview-knob gpuview-knob-press");
  row.append(button("gpuview-knob-button", knob.name, onPress));
  return { element: row, show: () => undefined };
}

function labelled(knob: Knob, control: HTMLElement, show: (value: Value) => void): Row {
  const row = element("label", "gpuview-knob");
  row.append(element("span", "gpuview-knob-name", knob.name), control);
  return { element: row, show };
}

function numbersOf(value: Value): number[] {
  return Array.isArray(value) ? value : [Number(value)];
}
