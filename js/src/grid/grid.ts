// The ranks of a view that shows several, whatever carrier brings them: what is known of each, how
// large it is drawn, and what stands on it.

import { element } from "../dom";
import type { Tile, Tiles } from "../messages";
import type { Player } from "../player";
import { after } from "../timers";
import { isSame, layOut, shrink, tierOf, tiersOf, type Layout, type Tier } from "./layout";
import { noteOf } from "./note";

/** Dragging an edge must not have pictures made in many sizes. */
const REST_MS = 300;
const UNREADABLE = "this browser does not decode its pictures";

export interface GridOptions {
  readonly stage: HTMLElement;
  readonly player: Player;
  /** `tiers` may have changed. */
  readonly onTiers: () => void;
  /** The stream turns out to be a grid. */
  readonly onGrid: () => void;
  readonly stop: AbortSignal;
}

export class Grid {
  readonly #options: GridOptions;
  readonly #layer = element("div", "gpuview-tiles");
  readonly #labels = new Map<number, Label>();
  readonly #boards = new Set<() => void>();
  #tiles: readonly Tile[] = [];
  readonly #unreadable = new Set<number>();
  #rest_ms: (rank: number) => number | null = () => null;
  #layout: Layout | null = null;
  /** How wide it is on the screen, once that is known. */
  #shown_px = Infinity;
  /** By which the canvas is smaller than the largest pictures would have it. */
  #tier: Tier = 1;
  #tiers: ReadonlyMap<number, Tier> = new Map();
  #resting = new AbortController();

  constructor(options: GridOptions) {
    this.#options = options;
    const observer = new ResizeObserver(() => this.#lookLater());
    observer.observe(options.stage);
    options.stop.addEventListener("abort", () => observer.disconnect(), { once: true });
  }

  /** Where each rank is drawn, in pixels of a canvas; null in a stream that is no grid. */
  get layout(): Layout | null {
    return this.#layout && shrink(this.#layout, this.#tier);
  }

  /** How large the pictures of each rank are to be; null in a stream that is no grid. */
  get tiers(): ReadonlyMap<number, Tier> | null {
    return this.#layout && this.#tiers;
  }

  /** Calls back when `layout` has changed. */
  follow(callback: () => void, stop: AbortSignal): void {
    this.#boards.add(callback);
    stop.addEventListener("abort", () => this.#boards.delete(callback), { once: true });
  }

  /** Takes what the media process says of the ranks. */
  hear({ tiles }: Tiles): void {
    const { stage, player, onGrid } = this.#options;
    const [before, layout] = [this.#layout, layOut(tiles)];
    [this.#tiles, this.#layout] = [tiles, layout];
    for (const rank of this.#labels.keys()) {
      if (!layout.places.has(rank)) this.#labels.delete(rank);
    }
    if (before === null) {
      stage.append(this.#layer);
      onGrid();
      player.reserve(layout, false); // Before its width is looked at.
    }
    if (before === null || !isSame(before, layout)) {
      this.#layer.style.setProperty("--gpuview-columns", String(layout.columns));
      this.#layer.style.setProperty("--gpuview-rows", String(layout.rows));
      this.#draw();
    }
    this.#look();
    this.#write();
  }

  /** Takes how long each rank has had no new picture; null for one that has. */
  showRests(rest_ms: (rank: number) => number | null): void {
    this.#rest_ms = rest_ms;
    this.#write();
  }

  /** Says on a tile that what its rank sends is not decoded here, until `stop`. */
  showUnreadable(rank: number, stop: AbortSignal): void {
    this.#unreadable.add(rank);
    stop.addEventListener("abort", () => this.#unreadable.delete(rank), { once: true });
    this.#write();
  }

  #lookLater(): void {
    if (this.#layout === null) return;
    this.#resting.abort();
    this.#resting = new AbortController();
    const stop = AbortSignal.any([this.#options.stop, this.#resting.signal]);
    after(REST_MS, () => this.#look(), stop);
  }

  /** Finds out how large the tiles are on the screen. */
  #look(): void {
    if (this.#layout === null) return;
    const shown_px = this.#layer.clientWidth * devicePixelRatio;
    if (shown_px > 0) this.#shown_px = shown_px; // Or it is hidden.
    this.#tiers = tiersOf(this.#layout, this.#tiles, this.#shown_px);
    this.#options.onTiers();
    const tier = tierOf(this.#layout.width, this.#shown_px);
    if (tier === this.#tier) return;
    this.#tier = tier;
    this.#draw();
  }

  #draw(): void {
    if (this.#layout === null) return;
    for (const board of [...this.#boards]) board();
    this.#options.player.setPictureSize(this.#layout);
  }

  #write(): void {
    const labels = this.#tiles.map((tile) =>
      this.#labelOf(tile.rank).show(tile, this.#noteOf(tile)),
    );
    const shown = [...this.#layer.children];
    const is_same =
      labels.length === shown.length && labels.every((label, at) => label === shown[at]);
    if (!is_same) this.#layer.replaceChildren(...labels);
  }

  #noteOf(tile: Tile): string {
    const is_readable = tile.text !== "" || !this.#unreadable.has(tile.rank);
    const said = is_readable ? tile : { ...tile, text: UNREADABLE };
    return noteOf(said, this.#rest_ms(tile.rank), Date.now());
  }

  #labelOf(rank: number): Label {
    const label = this.#labels.get(rank) ?? new Label(rank);
    this.#labels.set(rank, label);
    return label;
  }
}

/** What stands on one tile. */
class Label {
  readonly #element = element("div", "gpuview-tile");
  readonly #host = element("span", "gpuview-tile-host");
  readonly #note = element("div", "gpuview-tile-note");

  constructor(rank: number) {
    const name = element("div", "gpuview-tile-name", `rank ${rank}`);
    name.append(this.#host);
    this.#element.dataset["rank"] = String(rank);
    this.#element.append(name, this.#note);
  }

  show({ host, silent_since }: Tile, note: string): HTMLElement {
    // Written only if it changes, or somebody could not copy it.
    const host_text = host === "" ? "" : ` on ${host}`;
    if (this.#host.textContent !== host_text) this.#host.textContent = host_text;
    if (this.#note.textContent !== note) this.#note.textContent = note;
    this.#element.toggleAttribute("data-silent", silent_since !== undefined);
    return this.#element;
  }
}
