// One view of the stream: feeds events to the pure state machine and carries out its effects.

import { caption } from "./caption";
import { detailRows } from "./details";
import { DetailsPanel } from "./details_panel";
import { Latency, type ShownFrame } from "./latency";
import type { Pong } from "./messages";
import { listen, type Model } from "./model";
import { Monitor } from "./monitor";
import { Overlay } from "./overlay";
import { Peer } from "./peer";
import { Player } from "./player";
import { NO_PICTURE } from "./problems";
import { Signalling } from "./signalling";
import { begin, next, type Effect, type Step, type ViewEvent, type ViewState } from "./state";
import type { Figures, Snapshot } from "./stats";
import { Stills } from "./stills";
import { after, every } from "./timers";

const DETAILS_MS = 1000;

export class View {
  readonly #model: Model;
  readonly #closing = new AbortController();
  readonly #signalling: Signalling;
  readonly #details = new DetailsPanel(() => void this.#fillDetails());
  readonly #overlay: Overlay;
  readonly #player: Player;
  #state: ViewState;
  /** Ends the present connection, or the wait before it. */
  #connection = new AbortController();
  /** The present connection; null if there is none, or while waiting for the next. */
  #peer: Peer | null = null;
  /** The present connection or the last one, whose details can still be read. */
  #latest: Peer | null = null;
  #figures: Figures | null = null;

  /**
   * Shows the stream in `root` from now until it is closed.
   *
   * @param kernel Is aborted when the kernel is gone; by us, if we are the first to notice.
   */
  constructor(model: Model, root: HTMLElement, kernel: AbortController) {
    this.#model = model;
    this.#signalling = new Signalling(model, () => kernel.abort());
    this.#overlay = new Overlay(root, this.#details, {
      onRetry: () => this.#dispatch({ type: "retry" }),
      onPlay: () => this.#dispatch({ type: "play" }),
    });
    this.#player = new Player(this.#overlay.stage, {
      onSize: (size) => this.#overlay.showSize(size),
      onBlocked: () => this.#dispatch({ type: "blocked" }),
    });
    root.dataset["view"] = this.#signalling.view;
    const first = begin(model.get("status"), kernel.signal.aborted);
    this.#state = first.state;
    this.#listen(kernel.signal);
    this.#take(first);
  }

  get is_playing(): boolean {
    return this.#state.name === "playing";
  }

  /** Goes on in another output of the stream. */
  moveTo(root: HTMLElement): void {
    this.#overlay.moveTo(root);
  }

  /** Ends the connection, and takes the picture away. */
  close(): void {
    this.#closing.abort();
    this.#player.close();
    this.#disconnect();
    this.#signalling.bye();
  }

  #listen(kernel_gone: AbortSignal): void {
    const [model, stop] = [this.#model, this.#closing.signal];
    const followStatus = () => this.#dispatch({ type: "status", status: model.get("status") });
    listen(model, "change:status", followStatus, stop);
    listen(model, "change:epoch", () => this.#dispatch({ type: "epoch" }), stop);
    window.addEventListener("online", () => this.#hurry("online"), { signal: stop });
    const { connection } = navigator as NavigatorWithConnection;
    // Without any network, there is nothing to find out before "online".
    const check = () => navigator.onLine && this.#hurry("network-change");
    connection?.addEventListener("change", check, { signal: stop });
    window.addEventListener("pagehide", () => this.#signalling.bye(), { signal: stop });
    const look = () => document.hidden || this.#hurry("retry");
    document.addEventListener("visibilitychange", look, { signal: stop });
    every(DETAILS_MS, () => void this.#fillDetails(), stop);
    const leave = () => this.#dispatch({ type: "kernel-gone" });
    kernel_gone.addEventListener("abort", leave, { once: true, signal: stop });
  }

  /** Connecting may work again: ends a wait for the next connection soon. */
  #hurry(type: "retry" | "online" | "network-change"): void {
    const is_waiting = this.#peer === null && this.#state.name !== "failed";
    this.#dispatch({ type: is_waiting ? "online" : type });
  }

  #dispatch(event: ViewEvent): void {
    this.#take(next(this.#state, event));
  }

  #take({ state, effect }: Step): void {
    this.#state = state;
    this.#act(effect);
    this.#paint(); // Afterwards: the problems of the last connection are not those of the next.
  }

  #act(effect: Effect): void {
    switch (effect.type) {
      case "none":
        return;
      case "connect":
        return this.#connect(effect.delay_ms);
      case "disconnect":
        return this.#disconnect();
      case "play":
        return this.#player.play();
      case "probe":
        return this.#peer?.probe();
    }
  }

  #paint(): void {
    const status = this.#model.get("status");
    this.#overlay.root.dataset["state"] = this.#state.name;
    this.#overlay.root.dataset["status"] = status.state;
    this.#overlay.showCaption(caption(this.#state, status, this.#peer?.problem ?? null));
    if (this.is_playing) return;
    this.#figures = null;
    this.#overlay.showFigures(null, null);
  }

  #connect(delay_ms: number): void {
    this.#disconnect();
    const stop = this.#connection.signal;
    if (delay_ms === 0) this.#open(stop);
    else after(delay_ms, () => document.hidden || this.#open(stop), stop); // Nobody looks: no hurry.
  }

  #open(stop: AbortSignal): void {
    const latency = new Latency();
    const monitor = new Monitor({
      stats: () => peer.stats(),
      isPlaying: () => this.is_playing,
      isFrameDue: () =>
        this.#state.name === "waiting" &&
        this.#model.get("status").state === "live" &&
        this.#isVisible(),
      latency: () => latency.recent,
      onFigures: (now, figures) => this.#showFigures(now, figures),
      onNoPicture: () => this.#dispatch({ type: "lost", problem: NO_PICTURE }),
      stop,
    });
    const onPlaying = () => {
      this.#dispatch({ type: "frame" });
      void monitor.measure();
    };
    const stills = new Stills({ onCover: (picture) => this.#cover(picture), stop });
    const onFrame = (frame: ShownFrame) => {
      latency.see(frame);
      stills.see(frame);
    };
    const peer = new Peer({
      signalling: this.#signalling,
      needs_peer_config: this.#model.get("needs_peer_config"),
      emit: (event) => this.#dispatch(event),
      onChange: () => this.#paint(),
      onTrack: (track) => this.#player.attach(track, { onPlaying, onFrame }, stop),
      latency: () => latency.recent,
      onPong: (pong) => {
        latency.hear(pong, performance.now());
        this.#takeSize(pong);
      },
      onStill: (message) => stills.take(message),
      stop,
    });
    this.#latest = this.#peer = peer;
  }

  /** Whether a browser has a reason to decode: it may save that for a tab that is in front. */
  #isVisible(): boolean {
    return !document.hidden && this.#overlay.root.checkVisibility();
  }

  #showFigures({ pair }: Snapshot, figures: Figures | null): void {
    this.#figures = figures;
    this.#overlay.showFigures(figures, pair);
  }

  #cover(picture: HTMLCanvasElement | null): void {
    this.#player.cover(picture);
    this.#overlay.showExact(picture !== null);
  }

  #takeSize({ width, height }: Pong): void {
    if (width > 0) this.#player.setPictureSize({ width, height });
  }

  #disconnect(): void {
    this.#player.freeze();
    this.#overlay.showExact(false);
    this.#connection.abort();
    this.#connection = new AbortController();
    this.#peer = null;
  }

  /** Shows how things stand, if somebody has opened the details. */
  async #fillDetails(): Promise<void> {
    const peer = this.#latest;
    if (document.hidden || !this.#details.is_open || peer === null) return;
    await peer.stats();
    const { facts, states } = peer;
    const [view, figures, size] = [this.#signalling.view, this.#figures, this.#overlay.size];
    this.#details.show(detailRows({ view, states, facts, figures, size }));
  }
}

/** Some browsers have this and TypeScript's library does not. */
type NavigatorWithConnection = Navigator & { readonly connection?: EventTarget };
