// One output of the widget: feeds what happens to the pure state machine, and does what it says.

import { caption } from "./caption";
import { rowsOf } from "./details";
import { listen, type Model } from "./model";
import { Overlay } from "./overlay";
import { Panel } from "./panel";
import { Peer } from "./peer";
import { Player } from "./player";
import { Signalling } from "./signal";
import { begin, next, type Effect, type Step, type ViewEvent, type ViewState } from "./state";
import { diff, snapshot, type Figures, type Snapshot } from "./stats";
import { after, every } from "./timers";
import type { Words } from "./words";

const STATS_MS = 1000;
/** So many seconds of a live stream without a decodable frame, and the connection counts as lost. */
const MAX_OWED_S = 10;

const NO_PICTURE: Words = {
  problem: "connected, but no picture that this browser can decode has come",
  expected: "video as H.264 or VP8",
  fix: "look at stream.stats() in the kernel; if frames are sent, try another browser",
};

export class View {
  readonly #model: Model;
  readonly #root: HTMLElement;
  readonly #stop: AbortSignal;
  readonly #signalling: Signalling;
  readonly #panel = new Panel(() => void this.#fillPanel());
  readonly #overlay: Overlay;
  readonly #player: Player;
  #state: ViewState;
  /** Ends the present connection, and the wait before it. */
  #connection = new AbortController();
  /** The present connection; null while there is none, or a wait before the next. */
  #peer: Peer | null = null;
  /** The present connection, or the last one: what came of it is asked for when it has failed. */
  #latest: Peer | null = null;
  #before: Snapshot | null = null;
  #figures: Figures | null = null;
  /** For how long the present connection has owed us its first frame. */
  #owed_s = 0;

  /**
   * Shows the stream in `root`, from now until `stop` is aborted.
   *
   * @param kernel Is aborted when the kernel has gone, by us if we are the first to notice.
   */
  constructor(model: Model, root: HTMLElement, kernel: AbortController, stop: AbortSignal) {
    this.#model = model;
    this.#root = root;
    this.#stop = stop;
    this.#signalling = new Signalling(model, () => kernel.abort());
    this.#overlay = new Overlay(root, this.#panel, () => this.#dispatch({ type: "retry" }));
    this.#player = new Player(this.#overlay.stage, (...size) => this.#overlay.size(...size));
    root.dataset["view"] = this.#signalling.view;
    const first = begin(model.get("status"), kernel.signal.aborted);
    this.#state = first.state;
    this.#listen(kernel.signal);
    this.#take(first);
  }

  #listen(kernelGone: AbortSignal): void {
    const [model, stop] = [this.#model, this.#stop];
    const followStatus = () => this.#dispatch({ type: "status", status: model.get("status") });
    listen(model, "change:status", followStatus, stop);
    listen(model, "change:epoch", () => this.#dispatch({ type: "epoch" }), stop);
    window.addEventListener("online", () => this.#hurry("online"), { signal: stop });
    const { connection } = navigator as NavigatorWithConnection;
    // Where there is no network at all, nothing is to be found out before "online".
    const doubt = () => navigator.onLine && this.#hurry("doubt");
    connection?.addEventListener("change", doubt, { signal: stop });
    window.addEventListener("pagehide", () => this.#signalling.bye(), { signal: stop });
    const look = () => document.hidden || this.#hurry("retry");
    document.addEventListener("visibilitychange", look, { signal: stop });
    every(STATS_MS, () => void this.#measure(), stop);
    every(STATS_MS, () => void this.#fillPanel(), stop);
    every(STATS_MS, () => void this.#expectFrame(), stop);
    const leave = () => this.#dispatch({ type: "kernel-gone" });
    kernelGone.addEventListener("abort", leave, { once: true, signal: stop });
    stop.addEventListener("abort", () => this.#close(), { once: true });
  }

  /** There is new hope: a wait for the next connection ends soon. */
  #hurry(type: "retry" | "online" | "doubt"): void {
    const is_waiting = this.#peer === null && this.#state.name !== "failed";
    this.#dispatch({ type: is_waiting ? "online" : type });
  }

  #dispatch(event: ViewEvent): void {
    this.#take(next(this.#state, event));
  }

  #take({ state, effect }: Step): void {
    this.#state = state;
    this.#act(effect);
    this.#paint(); // Afterwards: what is known of the last connection says nothing of the next.
  }

  #act(effect: Effect): void {
    switch (effect.type) {
      case "none":
        return;
      case "connect":
        return this.#connect(effect.delay_ms);
      case "disconnect":
        return this.#disconnect();
      case "probe":
        return this.#peer?.probe();
    }
  }

  #paint(): void {
    const status = this.#model.get("status");
    this.#root.dataset["state"] = this.#state.name;
    this.#root.dataset["status"] = status.state;
    this.#overlay.caption(caption(this.#state, status, this.#peer?.trouble ?? null));
    if (this.#state.name !== "playing") this.#clear();
  }

  #clear(): void {
    this.#figures = null;
    this.#overlay.figures(null);
    this.#overlay.route(null);
  }

  #connect(delay_ms: number): void {
    this.#disconnect();
    const stop = this.#connection.signal;
    if (delay_ms === 0) this.#open(stop);
    else after(delay_ms, () => document.hidden || this.#open(stop), stop); // Nobody looks: no hurry.
  }

  #open(stop: AbortSignal): void {
    this.#before = null;
    this.#owed_s = 0;
    this.#latest = this.#peer = new Peer({
      signalling: this.#signalling,
      needs_peer_config: this.#model.get("needs_peer_config"),
      emit: (event) => this.#dispatch(event),
      onNews: () => this.#paint(),
      onTrack: (track) => this.#player.attach(track, () => this.#showFirstFrame(), stop),
      stop,
    });
  }

  #showFirstFrame(): void {
    this.#dispatch({ type: "frame" });
    void this.#measure();
  }

  #disconnect(): void {
    this.#player.freeze();
    this.#connection.abort();
    this.#connection = new AbortController();
    this.#peer = null;
  }

  /** Shows the figures of the time since the last call. */
  async #measure(): Promise<void> {
    const peer = this.#peer;
    if (document.hidden || this.#state.name !== "playing" || peer === null) return;
    const now = snapshot(await peer.stats());
    if (now === null || peer !== this.#peer) return;
    this.#overlay.route(now.pair);
    this.#figures = this.#before === null ? null : diff(this.#before, now);
    if (this.#figures !== null) this.#overlay.figures(this.#figures);
    this.#before = now;
  }

  /** Shows how things stand where somebody has asked for it. */
  async #fillPanel(): Promise<void> {
    const peer = this.#latest;
    if (document.hidden || !this.#panel.isOpen || peer === null) return;
    await peer.stats();
    const { facts, states } = peer;
    const [view, figures, size] = [this.#signalling.view, this.#figures, this.#overlay.sizeText];
    this.#panel.show(rowsOf({ view, states, facts, figures, size }));
  }

  /** Gives a connection up that brings nothing to decode. Frames that are not seen count, too. */
  async #expectFrame(): Promise<void> {
    const peer = this.#peer;
    const isOwed = () =>
      this.#state.name === "waiting" &&
      this.#model.get("status").state === "live" &&
      peer === this.#peer;
    const decoded = isOwed() ? (snapshot((await peer?.stats()) ?? [])?.decoded ?? 0) : 0;
    this.#owed_s = isOwed() && decoded === 0 ? this.#owed_s + 1 : 0;
    if (this.#owed_s >= MAX_OWED_S) this.#dispatch({ type: "lost", words: NO_PICTURE });
  }

  #close(): void {
    this.#player.close();
    this.#disconnect();
    this.#signalling.bye();
  }
}

/** What some browsers, and not TypeScript's library, know of the machine's network. */
type NavigatorWithConnection = Navigator & { readonly connection?: EventTarget };
