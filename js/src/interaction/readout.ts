// What is said of an element or of a box. Text of the kernel is shown as text.

import { element } from "../dom";
import type { Element as Found, Statistics } from "../messages";

const SVG = "http://www.w3.org/2000/svg";

/** Fills `target` with an element's values and where it is. */
export function showElement(target: HTMLElement, found: Found): void {
  const { values, index, dtype, panel, low, high } = found;
  const parts = [
    element("div", "gpuview-value", values.join("  ")),
    element("div", "gpuview-index", `${index} · ${dtype}`),
  ];
  const shown = low === "" ? "" : `shown from ${low} to ${high}`;
  const rest = [panel, shown].filter((part) => part !== "").join(" · ");
  if (rest !== "") parts.push(element("div", "gpuview-more", rest));
  target.replaceChildren(...parts);
}

/** Fills `target` with what a box holds. */
export function showStatistics(target: HTMLElement, found: Statistics): void {
  const { index, problem, panel, dtype } = found;
  if (index === "") {
    const text = problem === "" ? "Begin the box on a picture" : problem;
    target.replaceChildren(element("span", "gpuview-more", text));
    return;
  }
  const rows: [string, string][] = [
    ["min", found.least],
    ["max", found.greatest],
    ["mean", found.mean],
    ["std", found.std],
    ["NaN", String(found.n_nan)],
    ["Inf", String(found.n_inf)],
    ["values", String(found.n)],
  ];
  const list = element("dl", "gpuview-numbers");
  for (const [name, value] of rows) {
    const pair = element("div", "gpuview-number");
    pair.append(element("dt", "", name), element("dd", "", value === "" ? "–" : value));
    list.append(pair);
  }
  const title = [panel, index, dtype].filter((part) => part !== "").join(" · ");
  target.replaceChildren(element("div", "gpuview-index", title), list, histogram(found));
}

function histogram({ counts, least, greatest }: Statistics): SVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "gpuview-histogram");
  svg.setAttribute("viewBox", `0 0 ${Math.max(1, counts.length)} 1`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `Histogram from ${least} to ${greatest}`);
  const most = Math.max(1, ...counts);
  counts.forEach((count, at) => {
    const bar = document.createElementNS(SVG, "rect");
    const height = count / most;
    bar.setAttribute("x", String(at + 0.05));
    bar.setAttribute("width", "0.9");
    bar.setAttribute("y", String(1 - height));
    bar.setAttribute("height", String(height));
    svg.append(bar);
  });
  return svg;
}
