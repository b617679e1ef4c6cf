// Small graphs of the last minute in the details: frame rate, bit rate and latency.

import { element } from "./dom";
import {
  describe,
  extend,
  linePath,
  SERIES,
  SPAN_MS,
  type Point,
  type Series,
} from "./figures_history";
import type { Figures } from "./stats";

const SVG = "http://www.w3.org/2000/svg";

export class Graphs {
  readonly element = element("div", "gpuview-graphs");
  readonly #graphs = SERIES.map((series) => new Graph(series));

  constructor() {
    this.element.hidden = true; // Until there is something to see.
  }

  /** Takes the figures of one more second, and draws them. */
  add(figures: Figures, now_ms: number): void {
    for (const graph of this.#graphs) graph.add(figures, now_ms);
    if (!this.element.hidden) return;
    this.element.append(...this.#graphs.map((graph) => graph.element));
    this.element.hidden = false;
  }
}

class Graph {
  readonly element = element("div", "gpuview-graph");
  readonly #series: Series;
  readonly #value = element("span", "gpuview-graph-value");
  readonly #svg = document.createElementNS(SVG, "svg");
  readonly #line = document.createElementNS(SVG, "path");
  #points: readonly Point[] = [];

  constructor(series: Series) {
    this.#series = series;
    this.#svg.setAttribute("viewBox", `0 0 ${SPAN_MS / 1000} 1`);
    this.#svg.setAttribute("preserveAspectRatio", "none");
    this.#svg.setAttribute("role", "img");
    // The stroke would be as stretched as the box.
    this.#line.setAttribute("vector-effect", "non-scaling-stroke");
    this.#svg.append(this.#line);
    const head = element("div", "gpuview-graph-head");
    head.ariaHidden = "true"; // The picture's text says it all.
    head.append(element("span", "", series.name), this.#value);
    this.element.append(head, this.#svg);
  }

  add(figures: Figures, now_ms: number): void {
    const value = this.#series.read(figures);
    if (value !== null) this.#points = extend(this.#points, { at_ms: now_ms, value });
    this.#value.textContent = value === null ? "not known" : this.#series.write(value);
    this.#line.setAttribute("d", linePath(this.#points, this.#series));
    const text = describe(this.#points, this.#series);
    this.#svg.setAttribute("aria-label", text);
    this.element.title = text;
  }
}
