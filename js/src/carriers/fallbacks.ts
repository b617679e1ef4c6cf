// The carriers besides WebRTC of one view: opens and closes them as the race says.

import type { Grid } from "../grid/grid";
import type { FromView, Pong, Problem, ToView } from "../messages";
import type { Player } from "../player";
import type { Figures } from "../stats";
import { after } from "../timers";
import type { OpenChannel } from "./channel";
import { recall, remember } from "./last_winner";
import type { Codec } from "./packet";
import { Picture } from "./picture";
import {
  advance,
  close,
  CLOSED,
  decide,
  FALLBACKS,
  favourite,
  isHopeful,
  shownOf,
  type Fallback,
  type Favourite,
  type Lane,
  type Race,
} from "./carrier_policy";

/** A message through the kernel makes work for it, and two more for the front end. */
const ACKNOWLEDGE_MS: Readonly<Record<Fallback, number>> = { socket: 0, comm: 200 };

/** How one fallback is reached from this page. */
export interface Opener {
  readonly open: OpenChannel;
  /** From when on it is worth trying, on the page's clock. */
  readonly opens_at_ms: number;
}

export type Openers = Readonly<Record<Fallback, Opener | null>>;

export interface FallbacksOptions {
  readonly view: string;
  readonly openers: Openers;
  readonly player: Player;
  readonly grid: Grid;
  /** Whether the stream has frames, and somebody looks. */
  readonly isFrameDue: () => boolean;
  /** Whether nobody can see the picture, or a person has paused it. */
  readonly isPaused: () => boolean;
  /** When the newest frame was made, on the media process's clock; null if that is not known. */
  readonly made_ms: () => number | null;
  /** `shown`, `is_connected`, `is_hopeful` or `problem` may have changed. */
  readonly onChange: () => void;
  /** Gets the figures of the fallback that is shown. */
  readonly onFigures: (figures: Figures | null) => void;
  readonly onPong: (pong: Pong) => void;
  /** Gets what this view is told about its picture. */
  readonly onTold: (message: ToView) => void;
  readonly stop: AbortSignal;
}

interface Open {
  readonly picture: Picture;
  readonly end: AbortController;
}

export class Fallbacks {
  readonly #options: FallbacksOptions;
  #race: Race;
  readonly #open = new Map<Fallback, Open>();
  readonly #undecodable = new Set<Codec>();
  #wake = new AbortController();
  #problem: Problem | null = null;

  constructor(options: FallbacksOptions) {
    this.#options = options;
    const { socket, comm } = options.openers;
    const lanes = { socket: socket && CLOSED, comm: comm && CLOSED };
    this.#race = { favourite: { state: "idle" }, lanes, remembered: recall() };
    options.stop.addEventListener("abort", () => this.close(), { once: true });
  }

  /** The carrier whose picture is seen; null if it is WebRTC's, or there is none. */
  get shown(): Fallback | null {
    return this.#race.favourite.state === "showing" ? null : shownOf(this.#race);
  }

  /** Whether the media process answers, over any of them. */
  get is_connected(): boolean {
    return this.#lanes.some(({ state }) => state === "waiting" || state === "showing");
  }

  /** Whether one of them may still bring the first picture. */
  get is_hopeful(): boolean {
    return isHopeful(this.#race);
  }

  /** Why the last one ended, if that is known. */
  get problem(): Problem | null {
    return this.#problem;
  }

  /** Takes note of how WebRTC stands now. */
  follow(state: Favourite["state"]): void {
    const before = this.#race.favourite;
    if (state === "showing" && before.state !== "showing") this.#remember("webrtc");
    this.#race = { ...this.#race, favourite: favourite(before, state, performance.now()) };
    this.#decide();
  }

  /** Connecting may work again: ends the waits, and finds out whether what is open is alive. */
  hurry(): void {
    for (const carrier of FALLBACKS) {
      const lane = this.#race.lanes[carrier];
      if (lane !== null) this.#setLane(carrier, { ...lane, opens_at_ms: 0 });
    }
    for (const { picture } of this.#open.values()) picture.probe();
    this.#decide();
  }

  /**
   * Says something about the picture over the WebSocket; false if it is not open. The comm leads to
   * the kernel without the media process, unless that is to answer.
   */
  say(message: FromView): boolean {
    const comm = message.type === "GetReplay" ? this.#open.get("comm") : undefined;
    return (this.#open.get("socket") ?? comm)?.picture.say(message) ?? false;
  }

  /** Keeps the picture that is seen, and its connection without one; ends the others. */
  hold(): void {
    for (const [carrier, { picture }] of this.#open) {
      if (carrier === this.shown) picture.freeze();
      else this.#end(carrier, false);
    }
    this.tellPaused();
  }

  /** Tells the media process that `isPaused` has changed. */
  tellPaused(): void {
    for (const { picture } of this.#open.values()) picture.tellPaused();
  }

  /** Tells the media process that a grid's tiles have another size. */
  tellTiers(): void {
    for (const { picture } of this.#open.values()) picture.tellTiers();
  }

  /** Ends all of them, and keeps the picture. `follow` begins anew. */
  close(): void {
    this.#wake.abort();
    for (const carrier of this.#open.keys()) this.#end(carrier, false);
  }

  get #lanes(): readonly Lane[] {
    return Object.values(this.#race.lanes).filter((lane) => lane !== null);
  }

  #decide(): void {
    const now_ms = performance.now();
    const { open, wake_ms } = decide(this.#withOpeners(), now_ms);
    this.#wake.abort();
    this.#wake = new AbortController();
    if (this.#options.stop.aborted) return;
    for (const carrier of this.#open.keys()) if (!open.has(carrier)) this.#end(carrier, false);
    for (const carrier of open) if (!this.#open.has(carrier)) this.#begin(carrier);
    if (wake_ms !== null) after(wake_ms - now_ms, () => this.#decide(), this.#wake.signal);
  }

  /** The race, with what else the openers know: all views of a model share them. */
  #withOpeners(): Race {
    const { openers } = this.#options;
    const withOpener = (carrier: Fallback) => {
      const lane = this.#race.lanes[carrier];
      const opens_at_ms = openers[carrier]?.opens_at_ms ?? 0;
      return lane && { ...lane, opens_at_ms: Math.max(lane.opens_at_ms, opens_at_ms) };
    };
    return { ...this.#race, lanes: { socket: withOpener("socket"), comm: withOpener("comm") } };
  }

  #begin(carrier: Fallback): void {
    const { openers, view, player, grid, isFrameDue, isPaused, made_ms } = this.#options;
    const { onFigures, onPong, onTold } = this.#options;
    const opener = openers[carrier];
    if (opener === null) return;
    const end = new AbortController();
    this.#advance(carrier, "opening");
    const picture = new Picture({
      view,
      open: opener.open,
      acknowledge_ms: ACKNOWLEDGE_MS[carrier],
      undecodable: this.#undecodable,
      player,
      grid,
      isFrameDue,
      isPaused,
      made_ms,
      isPlaying: () => this.shown === carrier,
      onConnected: () => this.#connected(carrier),
      onPlaying: (canvas) => this.#playing(carrier, canvas),
      onFigures: (figures) => this.shown === carrier && onFigures(figures),
      onPong,
      onTold,
      onClosed: (problem) => this.#closed(carrier, problem),
      stop: end.signal,
    });
    this.#open.set(carrier, { picture, end });
  }

  #connected(carrier: Fallback): void {
    if (this.#race.lanes[carrier]?.state === "opening") this.#advance(carrier, "waiting");
    this.#options.onChange();
  }

  #playing(carrier: Fallback, canvas: HTMLCanvasElement): void {
    this.#advance(carrier, "showing");
    if (this.shown !== carrier) return this.#decide();
    this.#options.player.show(canvas);
    this.#problem = null;
    this.#remember(carrier);
    this.#decide(); // Closes a worse one, whose picture is no longer seen.
    this.#options.onChange();
  }

  #closed(carrier: Fallback, problem: Problem | null): void {
    this.#problem = problem ?? this.#problem;
    this.#end(carrier, true);
    this.#decide();
    this.#options.onChange();
  }

  #end(carrier: Fallback, has_failed: boolean): void {
    const found = this.#open.get(carrier);
    const lane = this.#race.lanes[carrier];
    if (found === undefined || lane === null) return;
    this.#open.delete(carrier);
    found.picture.freeze();
    found.end.abort();
    this.#setLane(carrier, close(lane, performance.now(), has_failed));
  }

  #advance(carrier: Fallback, state: "opening" | "waiting" | "showing"): void {
    const lane = this.#race.lanes[carrier];
    if (lane !== null) this.#setLane(carrier, advance(lane, state, performance.now()));
  }

  #setLane(carrier: Fallback, lane: Lane): void {
    this.#race = { ...this.#race, lanes: { ...this.#race.lanes, [carrier]: lane } };
  }

  #remember(carrier: Fallback | "webrtc"): void {
    remember(carrier);
    this.#race = { ...this.#race, remembered: carrier };
  }
}
