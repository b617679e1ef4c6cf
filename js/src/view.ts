// One view of the stream: feeds events to the pure state machine and carries out its effects, while
// other carriers stand in for WebRTC.

import { Attention } from "./attention";
import { caption } from "./caption";
import { commOpener } from "./carriers/comm_channel";
import { Fallbacks, type Door } from "./carriers/fallbacks";
import { placeOf, viewUrl } from "./carriers/place";
import type { Carrier } from "./carriers/race";
import { detailRows } from "./details";
import { DetailsPanel } from "./details_panel";
import { Inspector } from "./interaction/inspector";
import { PictureEvents } from "./interaction/events";
import { Knobs } from "./interaction/knobs";
import { Line } from "./interaction/line";
import { Latency, type ShownFrame } from "./latency";
import type { Interaction, Pong, Problem } from "./messages";
import { listen, type Model } from "./model";
import { Monitor } from "./monitor";
import { PictureRate } from "./motion";
import { Overlay } from "./overlay";
import { Peer } from "./peer";
import { Player } from "./player";
import { NO_PICTURE } from "./problems";
import { Room } from "./room";
import { favouriteState, isOver, shownState } from "./shown_state";
import { Signalling } from "./signalling";
import { begin, next, type Effect, type Step, type ViewEvent, type ViewState } from "./state";
import { snapshot, type Figures } from "./stats";
import type { CandidatePair } from "./stats_report";
import { Stills } from "./stills";
import { after, every } from "./timers";
import { TrackVideo } from "./track_video";

const DETAILS_MS = 1000;
/** While another carrier shows the picture, WebRTC that has given up is tried again: first so soon. */
const QUIET_RETRY_MS = 30_000;
const MAX_QUIET_RETRY_MS = 300_000;

export class View {
  readonly #model: Model;
  readonly #closing = new AbortController();
  readonly #signalling: Signalling;
  readonly #details = new DetailsPanel(() => void this.#fillDetails());
  readonly #overlay: Overlay;
  readonly #player: Player;
  /** Of the Jupyter server; null if it cannot be used. */
  readonly #socket: Door | null;
  readonly #fallbacks: Fallbacks;
  readonly #is_webrtc_allowed: boolean;
  readonly #attention: Attention;
  readonly #room: Room | null;
  readonly #line: Line;
  readonly #inspector: Inspector;
  readonly #events: PictureEvents;
  readonly #knobs: Knobs;
  /** WebRTC's. */
  #state: ViewState;
  /** Ends the present connection, or the wait before it. */
  #connection = new AbortController();
  /** The present connection; null if there is none, or while waiting for the next. */
  #peer: Peer | null = null;
  /** Of the present connection. */
  #video: TrackVideo | null = null;
  /** Ends when WebRTC plays: then there is nothing left to ask over the socket. */
  #asking = new AbortController();
  #quiet_retries = 0;
  /** The present connection or the last one, whose details can still be read. */
  #latest: Peer | null = null;
  #figures: Figures | null = null;

  /**
   * Shows the stream in `root` from now until it is closed.
   *
   * @param socket How to reach the media process by the Jupyter server; null if that is impossible.
   * @param kernel Is aborted when the kernel is gone; by us, if we are the first to notice.
   */
  constructor(model: Model, root: HTMLElement, socket: Door | null, kernel: AbortController) {
    this.#model = model;
    this.#socket = socket;
    const carriers = model.get("carriers");
    this.#is_webrtc_allowed = carriers.includes("webrtc");
    this.#signalling = new Signalling(model, () => kernel.abort());
    this.#overlay = new Overlay(root, this.#details, {
      model,
      onRetry: () => this.#hurry("retry"),
      onPlay: () => this.#dispatch({ type: "play" }),
      onPause: () => this.#dispatch({ type: "pause" }),
      onResume: () => this.#dispatch({ type: "resume", status: model.get("status") }),
      picture: () => this.#player.picture,
      link: viewUrl(placeOf(model), document),
      stop: this.#closing.signal,
    });
    this.#player = new Player(this.#overlay.stage, {
      onSize: (size) => {
        this.#overlay.showSize(size);
        this.#inspector.resize(size);
      },
      onCover: (is_covered) => {
        this.#overlay.showExact(is_covered);
        this.#paintControls();
      },
      onScreen: (screen) => this.#overlay.controls.follow(screen),
    });
    const follow = () => this.#followAttention();
    this.#attention = new Attention(this.#overlay.stage, follow, this.#closing.signal);
    const { view } = this.#signalling;
    this.#line = new Line({
      view,
      model,
      ways: [
        (message) => this.#peer?.say(message) ?? false,
        (message) => this.#fallbacks.say(message),
      ],
      stop: this.#closing.signal,
    });
    const { stage } = this.#overlay;
    this.#inspector = new Inspector({ stage, line: this.#line, stop: this.#closing.signal });
    this.#overlay.add(this.#inspector);
    const comm = { open: commOpener(model, view), opens_at_ms: 0 };
    this.#fallbacks = new Fallbacks({
      view,
      doors: { socket, comm: carriers.includes("comm") ? comm : null },
      player: this.#player,
      isFrameDue: () => this.#isFrameDue(),
      isPaused: () => !this.#attention.is_seen,
      made_ms: () => this.#made_ms,
      onChange: () => this.#paint(),
      onFigures: (figures) => this.#showFigures(figures, null),
      onPong: (pong) => this.#takeSize(pong),
      onTold: (message) => this.#line.hear(message),
      stop: this.#closing.signal,
    });
    this.#knobs = new Knobs(this.#line, this.#closing.signal);
    this.#overlay.addKnobs(this.#knobs.element);
    this.#events = new PictureEvents({
      line: this.#line,
      stage: this.#overlay.stage,
      screen: () => this.#player.picture?.screen ?? null,
      stop: this.#closing.signal,
    });
    root.dataset["view"] = view;
    // Where there is no way to the kernel, the views in its notebook decide.
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
    this.#disconnect();
    this.#player.close();
    this.#signalling.bye();
  }

  #listen(kernel_gone: AbortSignal): void {
    const [model, stop] = [this.#model, this.#closing.signal];
    const followStatus = () => this.#dispatch({ type: "status", status: model.get("status") });
    listen(model, "change:status", followStatus, stop);
    const followInteraction = () => this.#followInteraction(model.get("interaction"));
    listen(model, "change:interaction", followInteraction, stop);
    followInteraction();
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

  #followInteraction(interaction: Interaction): void {
    this.#events.follow(interaction);
    this.#knobs.show(interaction.knobs);
  }

  /** Connecting may work again: ends a wait for the next connection soon. */
  #hurry(type: "retry" | "online" | "network-change"): void {
    const has_failed = this.#state.name === "failed";
    const is_waiting = this.#peer === null && !has_failed;
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
        return this.#connect(effect.delay_ms);
      case "disconnect":
        this.#disconnect();
        if (this.#state.name === "paused") this.#signalling.bye(); // No viewer from now on.
        return this.#retryQuietly();
      case "play":
        return this.#video?.play();
      case "probe":
        return this.#peer?.probe();
    }
  }

  #followAttention(): void {
    this.#overlay.root.toggleAttribute("data-paused", !this.#attention.is_seen);
    this.#peer?.tellPaused();
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
    if (is_over || this.#state.name === "paused") this.#fallbacks.close();
  }

  /** Tries again behind the picture of another carrier, less and less often. */
  #retryQuietly(): void {
    if (this.#state.name !== "failed") return;
    const retry = () => {
      if (this.#fallbacks.shown === null || document.hidden) return this.#retryQuietly();
      this.#quiet_retries += 1;
      this.#dispatch({ type: "retry" });
    };
    const pause_ms = QUIET_RETRY_MS * 2 ** this.#quiet_retries;
    after(Math.min(pause_ms, MAX_QUIET_RETRY_MS), retry, this.#connection.signal);
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
    this.#paintCaption();
    this.#paintControls();
  }

  #paintCaption(): void {
    const [state, status, carrier] = [this.#shown_state, this.#model.get("status"), this.#carrier];
    const [problem, rest_ms] = [this.#peer?.problem ?? null, this.#figures?.rest_ms ?? null];
    this.#overlay.showCaption(caption(state, status, problem, carrier, rest_ms));
  }

  #paintControls(): void {
    this.#overlay.controls.show(this.#shown_state.name);
  }

  #connect(delay_ms: number): void {
    this.#disconnect();
    if (!this.#is_webrtc_allowed) return;
    const stop = this.#connection.signal;
    if (delay_ms === 0) this.#open(stop);
    else after(delay_ms, () => document.hidden || this.#open(stop), stop); // Nobody looks: no hurry.
  }

  #open(stop: AbortSignal): void {
    const [latency, rate] = [new Latency(), new PictureRate()];
    const monitor = new Monitor({
      read: async () => snapshot(await peer.stats()),
      isPlaying: () => this.#state.name === "playing",
      isFrameDue: () => this.#state.name === "waiting" && this.#isFrameDue(),
      latency: () => latency.recent,
      motion: () => rate.read(performance.now(), latency.onPage(this.#made_ms)),
      onFigures: ({ pair }, figures) => this.#showFigures(figures, pair),
      onNoPicture: () => this.#dispatch({ type: "lost", problem: NO_PICTURE }),
      stop,
    });
    const onPlaying = () => {
      this.#asking.abort();
      this.#quiet_retries = 0;
      this.#dispatch({ type: "frame" });
      void monitor.measure();
    };
    const onCover = (picture: HTMLCanvasElement | null) => {
      if (this.#video !== null) this.#player.cover(this.#video.element, picture);
    };
    const stills = new Stills({ onCover, stop });
    const onFrame = (frame: ShownFrame) => {
      latency.see(frame);
      rate.see(frame);
      stills.see(frame);
    };
    const onBlocked = () => this.#dispatch({ type: "blocked" });
    const video = { player: this.#player, onPlaying, onFrame, onBlocked, stop };
    this.#ask(stop);
    const peer = new Peer({
      signalling: this.#signalling,
      needs_peer_config: this.#model.get("needs_peer_config"),
      emit: (event) => this.#dispatch(event),
      onChange: () => this.#paint(),
      onTrack: (track) => (this.#video = new TrackVideo(track, video)),
      latency: () => latency.recent,
      isPaused: () => !this.#attention.is_seen,
      onPong: (pong) => {
        latency.hear(pong, performance.now());
        this.#takeSize(pong);
      },
      onStill: (message) => stills.take(message),
      onTold: (message) => this.#line.hear(message),
      stop,
    });
    this.#latest = this.#peer = peer;
  }

  /** Asks the media process itself as well, past a kernel that may be busy. */
  #ask(stop: AbortSignal): void {
    if (this.#socket === null || this.#socket.opens_at_ms > performance.now()) return;
    this.#asking = new AbortController();
    this.#signalling.use(this.#socket.open, AbortSignal.any([stop, this.#asking.signal]));
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

  #takeSize({ width, height }: Pong): void {
    if (width > 0) this.#player.setPictureSize({ width, height });
  }

  #disconnect(): void {
    if (this.#video !== null) this.#player.freeze(this.#video.element);
    this.#connection.abort();
    this.#connection = new AbortController();
    [this.#peer, this.#video] = [null, null];
  }

  /** Shows how things stand, if somebody has opened the details. */
  async #fillDetails(): Promise<void> {
    const peer = this.#latest;
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
