// The inspector: the tensor's own values below the pointer, a box's statistics, zoom, and a picture
// that stands still while the stream goes on. It is a layer over the picture, there only while
// somebody inspects, so that it takes nothing from the page otherwise.

import { button, element, iconButton } from "../dom";
import type { ToView } from "../messages";
import type { Size } from "../picture_size";
import { after } from "../timers";
import { Asker } from "./asker";
import type { Line } from "./line";
import { Pointing, type Point, type Wishes } from "./pointing";
import { showElement, showStatistics } from "./readout";
import { RegionLayer } from "./region";
import * as viewport from "./viewport";
import type { Area, Part, Place } from "./viewport";

const HOVER_GAP_MS = 50;
/** A stream that moves has other values below a pointer that rests. */
const REST_MS = 250;
const PIXELATED = 4;
const MAX_REGION_PX = 2048;
const HINT =
  "Wheel or + −: zoom · drag or arrows: move · Shift and drag, or B: statistics · Esc: end";

export interface InspectorOptions {
  readonly stage: HTMLElement;
  readonly line: Line;
  readonly stop: AbortSignal;
}

export class Inspector {
  /** Switches the inspector on and off. */
  readonly button = iconButton("gpuview-inspect", "Inspect", () => this.toggle());
  /** Below the picture. */
  readonly strip = element("div", "gpuview-strip");
  readonly #options: InspectorOptions;
  readonly #layer = element("div", "gpuview-layer");
  readonly #readout = element("div", "gpuview-readout");
  readonly #outline = element("div", "gpuview-outline");
  readonly #found = element("div", "gpuview-found");
  readonly #zoom = element("span", "gpuview-zoom");
  readonly #freeze = button("gpuview-toggle", "Freeze", () => this.#setFrozen(!this.#is_frozen));
  readonly #select = button("gpuview-toggle", "Box", () =>
    this.#setSelecting(!this.#pointing.is_selecting),
  );
  readonly #reset = button("gpuview-toggle", "Whole picture", () => this.#show(viewport.WHOLE));
  readonly #elements: Asker<Place>;
  readonly #boxes: Asker<{ from: Place; to: Place }>;
  readonly #region: RegionLayer;
  readonly #pointing: Pointing;
  #size: Size = { width: 1, height: 1 };
  #part = viewport.WHOLE;
  #is_on = false;
  #is_frozen = false;
  /** What is below the pointer, or in the middle where keys are used; null if nobody looks. */
  #hover: Place | null = null;
  /** The first corner of the box that is drawn. */
  #corner: Place = { x: 0, y: 0 };
  #resting = new AbortController();

  constructor(options: InspectorOptions) {
    this.#options = options;
    const { line, stop } = options;
    this.#elements = new Asker({
      ask: ({ x, y }, seq) => line.say({ type: "GetElement", seq, x, y }),
      gap_ms: HOVER_GAP_MS,
      stop,
    });
    this.#boxes = new Asker({
      ask: ({ from, to }, seq) =>
        line.say({ type: "GetStatistics", seq, x: from.x, y: from.y, to_x: to.x, to_y: to.y }),
      gap_ms: HOVER_GAP_MS,
      stop,
    });
    this.#region = new RegionLayer({
      ask: ({ part, width, height }, seq) =>
        line.say({ type: "GetRegion", seq, ...part, pixel_width: width, pixel_height: height }),
      onDrawn: (is_frozen) => this.#drawn(is_frozen),
      stop,
    });
    this.#pointing = new Pointing(this.#layer, this.#wishes(), stop);
    const observer = new ResizeObserver(() => this.#is_on && this.#place());
    observer.observe(this.#layer);
    stop.addEventListener("abort", () => observer.disconnect(), { once: true });
    this.#build();
    line.listen((message) => this.#hear(message), stop);
  }

  /** Follows the size of the stream's picture. */
  resize(size: Size): void {
    this.#size = size;
    if (this.#is_on) this.#place();
  }

  toggle(): void {
    this.#is_on = !this.#is_on;
    this.button.ariaPressed = String(this.#is_on);
    this.strip.hidden = !this.#is_on;
    if (this.#is_on) {
      this.#options.stage.append(this.#layer);
      this.#place();
      this.#layer.focus({ preventScroll: true });
      return;
    }
    this.#pointing.forget();
    this.#setFrozen(false);
    this.#setSelecting(false);
    this.#leave();
    this.#found.replaceChildren();
    this.#boxes.cancel();
    this.#show(viewport.WHOLE);
    this.#layer.remove();
  }

  #build(): void {
    this.button.title = "Inspect: values, zoom and statistics";
    this.button.ariaPressed = "false";
    this.#layer.tabIndex = 0;
    this.#layer.setAttribute("role", "application");
    this.#layer.ariaLabel = `Picture. ${HINT}`;
    this.#readout.setAttribute("role", "status");
    this.#found.ariaLive = "polite";
    this.strip.hidden = this.#readout.hidden = this.#outline.hidden = true;
    this.#layer.append(this.#region.canvas, this.#outline, this.#readout);
    this.#freeze.title = "Freeze: keep this picture and its values, while the stream goes on";
    this.#select.title = "Box: drag a box for its statistics";
    for (const each of [this.#freeze, this.#select]) each.ariaPressed = "false";
    const tools = element("div", "gpuview-tools");
    tools.append(this.#freeze, this.#select, this.#reset, this.#zoom);
    this.strip.append(tools, element("div", "gpuview-more", HINT), this.#found);
  }

  // --- what a person wants to see

  #wishes(): Wishes {
    return {
      look: (at) => this.#look(this.#at(at), false),
      leave: () => this.#leave(),
      pull: (from, to, factor) => this.#pull(from, to, factor),
      step: (factor, right, down) => {
        const { width, height } = this.#part;
        this.#show(viewport.moved(this.#part, right * width, down * height));
        this.#show(viewport.zoomed(this.#part, factor, this.#middle));
        this.#look(this.#middle, true);
      },
      whole: () => this.#show(viewport.WHOLE),
      beginBox: (at) => (this.#corner = this.#at(at)),
      box: (to) => this.#box(this.#corner, this.#at(to)),
      boxSeen: () => {
        const { x, y, width, height } = this.#part;
        this.#box({ x, y }, { x: x + width, y: y + height });
      },
      end: () => {
        this.toggle();
        this.button.focus();
      },
    };
  }

  #pull(from: Point, to: Point, factor: number): void {
    // First larger: a whole picture cannot be moved.
    this.#part = viewport.zoomed(this.#part, factor, this.#at(from));
    const area = this.#area;
    const dx = ((from.x - to.x) / area.width) * this.#part.width;
    const dy = ((from.y - to.y) / area.height) * this.#part.height;
    this.#show(viewport.moved(this.#part, dx, dy));
  }

  #box(from: Place, to: Place): void {
    this.#boxes.want({ from, to });
    const [x, y] = [Math.min(from.x, to.x), Math.min(from.y, to.y)];
    const [width, height] = [Math.abs(from.x - to.x), Math.abs(from.y - to.y)];
    this.#put(this.#outline, { x, y, width, height });
    this.#outline.hidden = false;
  }

  #setSelecting(is_selecting: boolean): void {
    this.#pointing.is_selecting = is_selecting;
    this.#select.ariaPressed = String(is_selecting);
    this.#layer.classList.toggle("gpuview-selecting", is_selecting);
  }

  #setFrozen(is_frozen: boolean): void {
    if (is_frozen === this.#is_frozen) return;
    this.#options.line.say({ type: "Freeze", is_on: is_frozen });
    this.#showFrozen(is_frozen);
  }

  #showFrozen(is_frozen: boolean): void {
    this.#is_frozen = is_frozen;
    this.#freeze.ariaPressed = String(is_frozen);
    this.#region.clear();
    this.#elements.cancel();
    this.#boxes.cancel();
    this.#layer.classList.remove("gpuview-frozen");
    this.#show(this.#part);
  }

  // --- what is seen

  get #area(): Area {
    const { left, top, width, height } = this.#layer.getBoundingClientRect();
    return viewport.contained({ left, top, width, height }, this.#size.width, this.#size.height);
  }

  get #middle(): Place {
    const { x, y, width, height } = this.#part;
    return { x: x + width / 2, y: y + height / 2 };
  }

  #at({ x, y }: Point): Place {
    return viewport.placeAt(this.#part, this.#area, x, y);
  }

  #show(part: Part): void {
    this.#part = part;
    this.#hide();
    if (this.#is_on) return this.#place();
    this.#region.clear();
    this.#options.stage.classList.remove("gpuview-zoomed", "gpuview-pixelated");
  }

  /** Puts video, drawing and outline where they belong. */
  #place(): void {
    const { stage } = this.#options;
    const [area, zoom] = [this.#area, viewport.zoomOf(this.#part)];
    const own = this.#layer.getBoundingClientRect();
    const [left, top] = [area.left - own.left, area.top - own.top];
    const x = left - zoom * left - this.#part.x * zoom * area.width;
    const y = top - zoom * top - this.#part.y * zoom * area.height;
    stage.style.setProperty("--gpuview-zoom", `translate(${x}px, ${y}px) scale(${zoom})`);
    stage.classList.toggle("gpuview-zoomed", zoom > 1);
    stage.classList.toggle("gpuview-pixelated", zoom >= PIXELATED);
    this.#zoom.textContent = zoom > 1 ? `${zoom < 10 ? zoom.toFixed(1) : Math.round(zoom)}×` : "";
    const { canvas, part } = this.#region;
    if (part !== null) this.#put(canvas, part);
    if (zoom > 1 || this.#is_frozen) this.#wantRegion();
    else this.#region.clear();
  }

  #wantRegion(): void {
    const { width, height } = this.#area;
    if (width < 1 || height < 1) return;
    const ratio = Math.min(devicePixelRatio, MAX_REGION_PX / Math.max(width, height));
    const side = (length: number) => Math.max(1, Math.round(length * ratio));
    this.#region.want({ part: this.#part, width: side(width), height: side(height) });
  }

  #drawn(is_frozen: boolean): void {
    if (this.#is_frozen && !is_frozen) return this.#showFrozen(false); // The kernel has let it go.
    this.#layer.classList.toggle("gpuview-frozen", this.#is_frozen);
    const { canvas, part } = this.#region;
    if (part === null) return;
    this.#put(canvas, part);
    // A still frame is asked for again only when something else of it is to be seen.
    if (!this.#is_frozen && this.#is_on) after(REST_MS, () => this.#refresh(), this.#options.stop);
  }

  #refresh(): void {
    if (this.#is_on && !this.#is_frozen && this.#part.width < 1 && !document.hidden) {
      this.#wantRegion();
    }
  }

  /** Lays an element over a part of the picture. */
  #put(target: HTMLElement, part: Part): void {
    const [area, own] = [this.#area, this.#layer.getBoundingClientRect()];
    const at = viewport.relative(part, this.#part);
    const { style } = target;
    style.left = `${area.left - own.left + at.x * area.width}px`;
    style.top = `${area.top - own.top + at.y * area.height}px`;
    style.width = `${at.width * area.width}px`;
    style.height = `${at.height * area.height}px`;
  }

  // --- values

  #look(at: Place, is_by_key: boolean): void {
    if (!viewport.isInside(at)) return this.#leave();
    this.#hover = at;
    this.#readout.ariaLive = is_by_key ? "polite" : "off";
    this.#elements.want(at);
  }

  #leave(): void {
    this.#hover = null;
    this.#elements.cancel();
    this.#resting.abort();
    this.#hide();
  }

  #hide(): void {
    this.#readout.hidden = this.#outline.hidden = true;
  }

  #hear(message: ToView): void {
    switch (message.type) {
      case "Region":
        return this.#region.take(message);
      case "Element": {
        const at = this.#elements.answered(message.seq);
        if (at === null || this.#hover === null || this.#pointing.is_dragging) return;
        this.#readout.hidden = this.#outline.hidden = message.index === "";
        if (message.index !== "") {
          showElement(this.#readout, message);
          this.#put(this.#outline, message.place);
          this.#putReadout(at);
        }
        return this.#rest();
      }
      case "Statistics": {
        if (this.#boxes.answered(message.seq) === null) return;
        showStatistics(this.#found, message);
        if (message.index === "") return;
        this.#put(this.#outline, message.place);
        this.#outline.hidden = false;
      }
    }
  }

  /** Asks again in a moment, for as long as the pointer rests there. */
  #rest(): void {
    this.#resting.abort();
    if (this.#is_frozen) return;
    this.#resting = new AbortController();
    const again = () =>
      this.#hover !== null && !document.hidden && this.#elements.want(this.#hover);
    after(REST_MS, again, AbortSignal.any([this.#resting.signal, this.#options.stop]));
  }

  /** Beside the element, on the side that has room. */
  #putReadout(at: Place): void {
    const [area, own] = [this.#area, this.#layer.getBoundingClientRect()];
    const seen = viewport.relative({ ...at, width: 0, height: 0 }, this.#part);
    const x = area.left - own.left + seen.x * area.width;
    const y = area.top - own.top + seen.y * area.height;
    const { offsetWidth: width, offsetHeight: height } = this.#readout;
    const left = x + 16 + width > own.width ? x - 16 - width : x + 16;
    const top = y + 16 + height > own.height ? y - 16 - height : y + 16;
    this.#readout.style.left = `${Math.max(0, left)}px`;
    this.#readout.style.top = `${Math.max(0, top)}px`;
  }
}
