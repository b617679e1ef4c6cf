// A colour map as a thin strip, with the values at its ends.

import { element } from "./dom";
import type { ColourBar } from "./messages";

/** Returns a bar of which a screen reader says `text`. */
export function colourBar(text: string, bar: ColourBar): HTMLElement {
  const made = element("span", "gpuview-entry gpuview-bar");
  made.setAttribute("role", "img");
  made.ariaLabel = made.title = text;
  if (bar.name !== "") made.append(element("span", "gpuview-bar-name", bar.name));
  made.append(scale(bar));
  if (bar.note !== "") made.append(element("span", "gpuview-bar-note", bar.note));
  return made;
}

function scale({ colours, low, middle, high }: ColourBar): HTMLElement {
  const made = element("span", "gpuview-bar-scale");
  const strip = element("span", "gpuview-bar-strip", middle);
  strip.style.backgroundImage = `linear-gradient(to right, ${colours.join(", ")})`;
  strip.style.color = inkOn(colours[Math.floor(colours.length / 2)] ?? "");
  made.append(element("span", "gpuview-bar-low", low), strip);
  made.append(element("span", "gpuview-bar-high", high));
  return made;
}

/** Black or white, whichever can be read on a colour. */
function inkOn(colour: string): string {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) =>
    parseInt(colour.slice(at, at + 2), 16),
  );
  return 0.3 * red + 0.59 * green + 0.11 * blue > 127 ? "#000" : "#fff";
}
