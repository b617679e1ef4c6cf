// One view of the stream: feeds events to the pure state machine and carries out its effects, while
// other carriers stand in for WebRTC.

import { Attention } from "./visibility";
import { caption } from "./caption";
import { commOpener } from "./carriers/comm_channel";
import { Fallbacks, type Opener } from "./carriers/fallbacks";
import { placeOf, viewUrl } from "./carriers/server_url";
import type { Carrier } from "./carriers/carrier_policy";
import { detailRows } from "./details";
import { DetailsPanel } from "./details_panel";
import { Grid } from "./grid/grid";
import { Interaction } from "./interaction/interaction";
import { Line } from "./interaction/line";
import type { LinkFigures, Pong, Problem, ToView } from "./messages";
import { listen, type Model } from "./model";
import { Overlay } from "./view_dom";
import { Player } from "./player";
import { Room } from "./page_width";
import { favouriteState, isOver, shownState } from "./shown_state";
import { Signalling } from "./signalling";
import { begin, next, type Effect, type Step, type ViewEvent, type ViewState } from "./state";
import type { Figures } from "./stats";
import type { CandidatePair } from "./stats_report";
import { every } from "./timers";
import { Webrtc } from "./webrtc";

const DETAILS_MS = 1000;

export class View {
  readonly #model: Model;
  readonly #closing = new AbortController();
  readonly #signalling: Signalling;
  readonly #details = new DetailsPanel(() => void this.#fillDetails());
  readonly #overlay: Overlay;
  readonly #player: Player;
  readonly #webrtc: Webrtc;
  readonly #fallbacks: Fallbacks;
  readonly #is_webrtc_allowed: boolean;
  readonly #attention: Attention;
  readonly #room: Room | null;
  readonly #line: Line;
  readonly #interaction: Interaction;
  /** WebRTC's. */
  #state: ViewState;
  #figures: Figures | null = null;
  readonly #links: { webrtc: LinkFigures | null; fallback: LinkFigures | null } = {
    webrtc: null,
    fallback: null,
  };

  /**
   * Shows the stream in `root` from now until it is closed.
   *
   * @param socket How to reach the media process by the Jupyter server; null if that is impossible.
   * @param kernel Is aborted when the kernel is gone; by us, if we are the first to notice.
   */
  constructor(model: Model, root: HTMLElement, socket: Opener | null, kernel: AbortController) {
    this.#model = model;
    const carriers = model.get("carriers");
    this.#is_webrtc_allowed = carriers.includes("webrtc");
    this.#signalling = new Signalling(model, () => kernel.abort());
    this.#overlay = new Overlay(root, this.#details, {
      model,
      onRetry: () => this.#hurry("retry"),
      onPlay: () => this.#dispatch({ type: "play" }),
      onPause: () => this.#dispatch({ type: "pause" }),
      onResume: () => this.#resume(),
      picture: () => this.#player.picture,
      link: viewUrl(placeOf(model), document),
      stop: this.#closing.signal,
    });
    this.#player = new Player(this.#overlay.stage, {
      onSize: (size) => {
        this.#overlay.showSize(size);
        this.#interaction.resize(size);
      },
      onCover: (is_covered) => {
        this.#overlay.showExact(is_covered);
        this.#paintControls();
      },
      onScreen: (screen) => this.#overlay.controls.follow(screen),
    });
    const grid = new Grid({
      stage: this.#overlay.stage,
      player: this.#player,
      onTiers: () => this.#fallbacks.tellTiers(),
      onGrid: () => this.#overlay.root.toggleAttribute("data-grid", true),
      stop: this.#closing.signal,
    });
    const follow = () => this.#followAttention();
    this.#attention = new Attention(this.#overlay.stage, follow, this.#closing.signal);
    const { view } = this.#signalling;
    this.#line = new Line({
      view,
      model,
      ways: [(message) => this.#webrtc.say(message), (message) => this.#fallbacks.say(message)],
      stop: this.#closing.signal,
    });
    const shared = {
      player: this.#player,
      isFrameDue: () => this.#isFrameDue(),
      isPaused: () => !this.#attention.is_seen || this.#state.name === "paused",
      made_ms: () => this.#made_ms,
      onChange: () => this.#paint(),
      onTold: (message: ToView) => this.#line.hear(message),
    };
    this.#webrtc = new Webrtc({
      ...shared,
      onPong: (pong) => this.#hear(pong, "webrtc"),
      model,
      signalling: this.#signalling,
      socket,
      state: () => this.#state.name,
      emit: (event) => this.#dispatch(event),
      onFigures: (figures, pair) => this.#showFigures(figures, pair),
    });
    const comm = { open: commOpener(model, view), opens_at_ms: 0 };
    this.#fallbacks = new Fallbacks({
      ...shared,
      onPong: (pong) => this.#hear(pong, "fallback"),
      grid,
      view,
      openers: { socket, comm: carriers.includes("comm") ? comm : null },
      onFigures: (figures) => this.#state.name !== "paused" && this.#showFigures(figures, null),
      stop: this.#closing.signal,
    });
    this.#interaction = new Interaction({
      model,
      line: this.#line,
      overlay: this.#overlay,
      screen: () => this.#player.picture?.screen ?? null,
      onPicture: (picture, is_newest) => this.#showAgain(picture, is_newest),
      onLive: () => this.#resume(),
      stop: this.#closing.signal,
    });
    root.dataset["view"] = view;
    // Where there is no way to the kernel, the views in its notebook decide; a grid is laid out here.
    const has_kernel = model.get("recording") !== null;
    this.#room = has_kernel ? new Room(model, root, this.#closing.signal) : null;
    const first = begin(model.get("status"), kernel.signal.aborted);
    this.#state = first.state;
    this.#listen(kernel.signal);
    this.#take(first);
  }

  /** Whether it has the picture that a person wants: one that plays, or one that they stopped. */
  get is_settled(): boolean {
    return ["playing", "paused"].includes(this.#shown_state.name);
  }

  get #shown_state(): ViewState {
    const { shown, is_connected, is_hopeful, problem } = this.#fallbacks;
    const fallbacks = { is_showing: shown !== null, is_connected, is_hopeful, problem };
    return shownState(this.#state, this.#model.get("status"), fallbacks, this.#is_webrtc_allowed);
  }

  /** What brings the picture that is seen; null if it stands still, or there is none. */
  get #carrier(): Carrier | null {
    if (this.#state.name === "paused") return null;
    return this.#state.name === "playing" ? "webrtc" : this.#fallbacks.shown;
  }

  /** Goes on in another output of the stream. */
  moveTo(root: HTMLElement): void {
    this.#overlay.moveTo(root);
    this.#room?.moveTo(root);
  }

  /** Ends the connection, and takes the picture away. */
  close(): void {
    this.#closing.abort();
    this.#webrtc.disconnect();
    this.#player.close();
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
    const leavePage = () => {
      this.#fallbacks.close();
      this.#signalling.bye();
    };
    window.addEventListener("pagehide", leavePage, { signal: stop });
    const look = () => (document.hidden ? this.#followRace() : this.#hurry("retry"));
    document.addEventListener("visibilitychange", look, { signal: stop });
    every(DETAILS_MS, () => void this.#fillDetails(), stop);
    const leave = () => this.#dispatch({ type: "kernel-gone" });
    kernel_gone.addEventListener("abort", leave, { once: true, signal: stop });
  }

  /** Connecting may work again: ends a wait for the next connection soon. */
  #hurry(type: "retry" | "online" | "network-change"): void {
    const has_failed = this.#state.name === "failed";
    const is_waiting = !this.#webrtc.is_open && !has_failed;
    // What has failed behind a picture has nobody who would press "Try again".
    const is_quiet = has_failed && this.#fallbacks.shown !== null;
    this.#dispatch({ type: is_waiting ? "online" : is_quiet ? "retry" : type });
    this.#fallbacks.hurry();
  }

  #dispatch(event: ViewEvent): void {
    this.#take(next(this.#state, event));
  }

  #take({ state, effect }: Step): void {
    this.#state = state;
    this.#act(effect);
    this.#followRace();
    this.#paint(); // Afterwards: the problems of the last connection are not those of the next.
  }

  #act(effect: Effect): void {
    switch (effect.type) {
      case "none":
        return;
      case "connect":
        if (this.#is_webrtc_allowed) this.#webrtc.connect(effect.delay_ms);
        return;
      case "disconnect":
        this.#webrtc.disconnect();
        if (this.#state.name === "paused") this.#pauseWithoutWebrtc();
        if (this.#state.name === "failed") this.#webrtc.retryQuietly(() => this.#isFallbackSeen());
        return;
      case "hold":
        return this.#webrtc.hold();
      case "go-on":
        return this.#webrtc.goOn();
      case "play":
        return this.#webrtc.play();
      case "probe":
        return this.#webrtc.probe();
    }
  }

  #pauseWithoutWebrtc(): void {
    this.#signalling.bye();
    this.#fallbacks.hold();
  }

  #resume(): void {
    if (this.#state.name === "paused") this.#fallbacks.close(); // They begin anew.
    this.#dispatch({ type: "resume", status: this.#model.get("status") });
  }

  /** Shows a picture of those that were before the pause, up to the newest. */
  #showAgain(picture: HTMLCanvasElement, is_newest: boolean): void {
    // What is exact stood still before the pause, so it is the newest, and better than its video.
    if (is_newest && this.#player.picture?.is_exact) return;
    this.#player.showAgain(picture);
    this.#overlay.hideLegend(!is_newest); // The ranges of an older picture are not known.
    this.#paintControls();
  }

  #followAttention(): void {
    this.#overlay.root.toggleAttribute("data-paused", !this.#attention.is_seen);
    this.#webrtc.tellPaused();
    this.#fallbacks.tellPaused();
    this.#followRace();
  }

  #followRace(): void {
    const status = this.#model.get("status");
    const [is_allowed, is_due] = [this.#is_webrtc_allowed, this.#isFrameDue()];
    const state = favouriteState(this.#state, is_allowed, is_due);
    const is_over = isOver(this.#state, status);
    // Where nobody looks, nothing begins.
    this.#fallbacks.follow(state !== "showing" && (is_over || document.hidden) ? "idle" : state);
    if (is_over) this.#fallbacks.close();
  }

  /** Whether another carrier shows the picture to somebody. */
  #isFallbackSeen(): boolean {
    return this.#fallbacks.shown !== null && !document.hidden;
  }

  #paint(): void {
    const [state, status, carrier] = [this.#shown_state, this.#model.get("status"), this.#carrier];
    this.#overlay.showLine(status.caption);
    this.#player.reserve(status, status.is_size_chosen);
    const { dataset } = this.#overlay.root;
    dataset["state"] = state.name;
    dataset["status"] = status.state;
    if (carrier === null) delete dataset["carrier"];
    else dataset["carrier"] = carrier;
    if (state.name !== "playing") {
      this.#figures = null;
      this.#overlay.showFigures(null, null);
    }
    const is_connected = this.#webrtc.is_open || this.#fallbacks.is_connected;
    this.#interaction.followPause(state.name === "paused", is_connected);
    this.#paintCaption();
    this.#paintControls();
  }

  #paintCaption(): void {
    const [state, status, carrier] = [this.#shown_state, this.#model.get("status"), this.#carrier];
    const [problem, rest_ms] = [this.#webrtc.problem, this.#figures?.rest_ms ?? null];
    this.#overlay.showCaption(caption(state, status, problem, carrier, rest_ms));
  }

  #paintControls(): void {
    this.#overlay.controls.show(this.#shown_state.name);
  }

  /** Whether a connection should bring frames by now. */
  #isFrameDue(): boolean {
    return this.#model.get("status").state === "live" && this.#isVisible();
  }

  /** Whether a browser has a reason to decode: it may save that for a tab that is in front. */
  #isVisible(): boolean {
    return this.#attention.is_seen && this.#overlay.root.checkVisibility();
  }

  #showFigures(figures: Figures | null, pair: CandidatePair | null): void {
    this.#figures = figures;
    if (figures !== null) this.#details.add(figures);
    this.#overlay.showFigures(figures, pair);
    this.#paintCaption();
  }

  /** When the newest frame was made, as of the last viewer who came. */
  get #made_ms(): number | null {
    const { made_ms } = this.#model.get("status");
    return made_ms > 0 ? made_ms : null;
  }

  #hear({ width, height, link }: Pong, way: "webrtc" | "fallback"): void {
    if (width > 0) this.#player.setPictureSize({ width, height });
    this.#links[way] = link ?? null;
  }

  /** Shows how things stand, if somebody has opened the details. */
  async #fillDetails(): Promise<void> {
    const peer = this.#webrtc.latest;
    if (document.hidden || !this.#details.is_open) return;
    await peer?.stats();
    const carrier = this.#carrier;
    if (peer === null && carrier === null) return;
    this.#details.show(
      detailRows({
        view: this.#signalling.view,
        connection: peer,
        carrier,
        webrtc_problem: this.#fallbacks.shown === null ? null : this.#webrtc_problem,
        figures: this.#figures,
        link: this.#links[carrier === "webrtc" ? "webrtc" : "fallback"],
        size: this.#overlay.size,
      }),
    );
  }

  /** Why there is no picture by WebRTC, if that is known. */
  get #webrtc_problem(): Problem | null {
    return "problem" in this.#state ? this.#state.problem : null;
  }
}

/** Some browsers have this and TypeScript's library does not. */
type NavigatorWithConnection = Navigator & { readonly connection?: EventTarget };
