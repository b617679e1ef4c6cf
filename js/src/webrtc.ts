// WebRTC of one view: one connection after the other, as the view's state machine says.

import type { Opener } from "./carriers/fallbacks";
import { Latency, type ShownFrame } from "./latency";
import type { FromView, Pong, ToView } from "./messages";
import type { Model } from "./model";
import { Monitor } from "./monitor";
import { PictureRate } from "./motion";
import { Peer } from "./peer";
import type { Player } from "./player";
import { NO_PICTURE, type ConnectionProblem } from "./problems";
import type { Signalling } from "./signalling";
import type { ViewEvent, ViewState } from "./state";
import { snapshot, type Figures } from "./stats";
import type { CandidatePair } from "./stats_report";
import { Stills } from "./still_overlay";
import { after } from "./timers";
import { TrackVideo } from "./track_video";

/** A connection that has failed behind another carrier's picture is tried again: first so soon. */
const QUIET_RETRY_MS = 30_000;
const MAX_QUIET_RETRY_MS = 300_000;

export interface WebrtcOptions {
  readonly model: Model;
  readonly signalling: Signalling;
  readonly player: Player;
  /** Of the Jupyter server; null if it cannot be used. */
  readonly socket: Opener | null;
  /** What has become of the connections so far. */
  readonly state: () => ViewState["name"];
  readonly emit: (event: ViewEvent) => void;
  /** Whether a connection should bring frames by now. */
  readonly isFrameDue: () => boolean;
  /** Whether nobody can see the picture, or a person has paused it. */
  readonly isPaused: () => boolean;
  /** When the newest frame was made, on the media process's clock; null if that is not known. */
  readonly made_ms: () => number | null;
  /** `problem` may have changed. */
  readonly onChange: () => void;
  readonly onFigures: (figures: Figures | null, pair: CandidatePair | null) => void;
  readonly onPong: (pong: Pong) => void;
  /** Gets what this view is told about its picture. */
  readonly onTold: (message: ToView) => void;
}

export class Webrtc {
  readonly #options: WebrtcOptions;
  /** Ends the present connection, or the wait before it. */
  #connection = new AbortController();
  /** The present connection; null if there is none, or while waiting for the next. */
  #peer: Peer | null = null;
  /** Of the present connection. */
  #video: TrackVideo | null = null;
  /** The present connection or the last one, whose details can still be read. */
  #latest: Peer | null = null;
  /** Ends when the picture plays: then there is nothing left to ask over the socket. */
  #asking = new AbortController();
  #quiet_retries = 0;

  constructor(options: WebrtcOptions) {
    this.#options = options;
  }

  /** Whether there is a connection, and not only a wait for the next. */
  get is_open(): boolean {
    return this.#peer !== null;
  }

  /** The present connection or the last one; null before the first. */
  get latest(): Peer | null {
    return this.#latest;
  }

  get problem(): ConnectionProblem | null {
    return this.#peer?.problem ?? null;
  }

  /** Ends the present connection, and makes the next one after so long. */
  connect(delay_ms: number): void {
    this.disconnect();
    const stop = this.#connection.signal;
    if (delay_ms === 0) this.#open(stop);
    else after(delay_ms, () => document.hidden || this.#open(stop), stop); // Nobody looks: no hurry.
  }

  /** Ends the present connection; its last picture stays. */
  disconnect(): void {
    if (this.#video !== null) this.#options.player.freeze(this.#video.element);
    this.#connection.abort();
    this.#connection = new AbortController();
    [this.#peer, this.#video] = [null, null];
  }

  /** Keeps the picture, and the connection without one. */
  hold(): void {
    if (this.#video !== null) this.#options.player.freeze(this.#video.element);
    this.tellPaused();
  }

  /** Goes on with what was held, from its next frame; call it in a person's click. */
  goOn(): void {
    this.#video = this.#video?.again() ?? null;
    this.play();
    this.tellPaused();
  }

  /** Tries again behind another carrier's picture, while there is one, less and less often. */
  retryQuietly(isPictureSeen: () => boolean): void {
    const retry = () => {
      if (!isPictureSeen()) return this.retryQuietly(isPictureSeen);
      this.#quiet_retries += 1;
      this.#options.emit({ type: "retry" });
    };
    const pause_ms = QUIET_RETRY_MS * 2 ** this.#quiet_retries;
    after(Math.min(pause_ms, MAX_QUIET_RETRY_MS), retry, this.#connection.signal);
  }

  /** Plays what the browser did not start by itself; call it in a person's click. */
  play(): void {
    this.#video?.play();
  }

  /** Finds out whether the connection still works. */
  probe(): void {
    this.#peer?.probe();
  }

  /** Says something over the connection; returns whether it is open. */
  say(message: FromView): boolean {
    return this.#peer?.say(message) ?? false;
  }

  /** Tells the media process that `isPaused` has changed. */
  tellPaused(): void {
    this.#peer?.tellPaused();
  }

  #open(stop: AbortSignal): void {
    const { model, signalling, isPaused, onChange, onPong, onTold, emit } = this.#options;
    const latency = new Latency();
    const { onStill, video } = this.#watch(latency, stop);
    this.#ask(stop);
    const peer = new Peer({
      signalling,
      needs_peer_config: model.get("needs_peer_config"),
      emit,
      onChange,
      onTrack: (track) => (this.#video = new TrackVideo(track, video)),
      latency: () => latency.recent,
      isPaused,
      onPong: (pong) => {
        latency.hear(pong, performance.now());
        onPong(pong);
      },
      onStill,
      onTold,
      stop,
    });
    this.#latest = this.#peer = peer;
  }

  /** Follows the frames of the connection that is about to begin. */
  #watch(latency: Latency, stop: AbortSignal) {
    const { player, state, isFrameDue, made_ms, onFigures, emit } = this.#options;
    const rate = new PictureRate();
    const monitor = new Monitor({
      read: async () => snapshot((await this.#peer?.stats()) ?? new Map()),
      isPlaying: () => state() === "playing",
      isFrameDue: () => state() === "waiting" && isFrameDue(),
      latency: () => latency.recent,
      motion: () => rate.read(performance.now(), latency.onPage(made_ms())),
      onFigures: ({ pair }, figures) => onFigures(figures, pair),
      onNoPicture: () => emit({ type: "lost", problem: NO_PICTURE }),
      stop,
    });
    const stills = new Stills({
      onCover: (picture) => {
        if (this.#video !== null) player.cover(this.#video.element, picture);
      },
      stop,
    });
    const video = {
      player,
      onPlaying: () => {
        this.#asking.abort();
        this.#quiet_retries = 0;
        stills.coverAgain();
        emit({ type: "frame" });
        void monitor.measure();
      },
      onFrame: (frame: ShownFrame) => {
        latency.see(frame);
        rate.see(frame);
        stills.see(frame);
      },
      onBlocked: () => emit({ type: "blocked" }),
      stop,
    };
    return { onStill: (message: ArrayBuffer | string) => stills.take(message), video };
  }

  /** Asks the media process itself as well, past a kernel that may be busy. */
  #ask(stop: AbortSignal): void {
    const { signalling, socket } = this.#options;
    if (socket === null || socket.opens_at_ms > performance.now()) return;
    this.#asking = new AbortController();
    signalling.use(socket.open, AbortSignal.any([stop, this.#asking.signal]));
  }
}
