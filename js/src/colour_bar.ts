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

/** The strip between its numbers; it makes room for one in its middle. */
function scale({ colours, low, middle, high }: ColourBar): HTMLElement {
  const made = element("span", "gpuview-scale");
  made.append(element("span", "gpuview-low", low));
  if (middle === "") {
    made.append(strip(colours));
  } else {
    const half = Math.ceil(colours.length / 2);
    made.append(strip(colours.slice(0, half)), element("span", "gpuview-middle", middle));
    made.append(strip(colours.slice(-half)));
  }
  made.append(element("span", "gpuview-high", high));
  return made;
}

function strip(colours: readonly string[]): HTMLElement {
  const made = element("span", "gpuview-strip");
  made.style.backgroundImage = `linear-gradient(to right, ${colours.join(", ")})`;
  return made;
}
