// The picture of one connection over a carrier: in the player from its first frame on, with its
// stills, its figures and its age.

import type { Grid } from "../grid/grid";
import { Latency, type ShownFrame } from "../latency";
import type { FromView, Pong, Problem, ToView } from "../messages";
import { Monitor } from "../monitor";
import { PictureRates } from "../motion";
import type { Size } from "../picture_size";
import type { Player } from "../player";
import { NO_PICTURE } from "../problems";
import type { Figures } from "../stats";
import { Stills } from "../still_overlay";
import type { OpenChannel } from "./channel";
import type { Codec } from "./packet";
import { PacketConnection } from "./packet_connection";

export interface PictureOptions {
  readonly view: string;
  readonly open: OpenChannel;
  readonly acknowledge_ms: number;
  readonly undecodable: Set<Codec>;
  readonly player: Player;
  readonly grid: Grid;
  /** Whether the stream has frames, and somebody looks. */
  readonly isFrameDue: () => boolean;
  /** Whether nobody can see it, or a person has paused it. */
  readonly isPaused: () => boolean;
  /** When the newest frame was made, on the media process's clock; null if that is not known. */
  readonly made_ms: () => number | null;
  /** Whether this picture is the one that is seen. */
  readonly isPlaying: () => boolean;
  /** The media process answers. */
  readonly onConnected: () => void;
  /** The first frame was on the screen: the canvas can be shown. */
  readonly onPlaying: (canvas: HTMLCanvasElement) => void;
  readonly onFigures: (figures: Figures | null) => void;
  readonly onPong: (pong: Pong) => void;
  readonly onTold: (message: ToView) => void;
  readonly onClosed: (problem: Problem | null) => void;
  readonly stop: AbortSignal;
}

export class Picture {
  readonly #options: PictureOptions;
  readonly #latency = new Latency();
  readonly #rates = new PictureRates();
  readonly #connection: PacketConnection;
  readonly #monitor: Monitor;
  readonly #stills: Stills;
  #size: Size | null = null;
  #has_played = false;

  /** Connects at once. */
  constructor(options: PictureOptions) {
    this.#options = options;
    const { view, open, acknowledge_ms, undecodable, player, grid, onConnected, onClosed, stop } =
      options;
    const latency = () => this.#latency.recent;
    this.#stills = new Stills({
      onCover: (picture) => player.cover(this.#connection.canvas, picture),
      stop,
    });
    this.#connection = new PacketConnection({
      view,
      open,
      acknowledge_ms,
      undecodable,
      grid,
      latency,
      isPaused: options.isPaused,
      onConnected,
      onShown: (frame, size, tile) => this.#see(frame, size, tile),
      onPong: (pong) => this.#hear(pong),
      onStill: (piece) => this.#stills.take(piece),
      onTold: options.onTold,
      onClosed,
      stop,
    });
    this.#monitor = new Monitor({
      read: async () => this.#connection.snapshot,
      latency,
      motion: () => this.#rates.read(performance.now(), this.#latency.onPage(options.made_ms())),
      isPlaying: options.isPlaying,
      isFrameDue: () => !this.#has_played && options.isFrameDue(),
      onFigures: (_now, figures) => {
        options.onFigures(figures);
        grid.showRests((rank) => this.#rates.rest_ms(rank, performance.now()));
      },
      onNoPicture: () => onClosed(NO_PICTURE),
      stop,
    });
    player.add(this.#connection.canvas, stop);
  }

  /** Keeps the last frame. Call it before the end. */
  freeze(): void {
    this.#options.player.freeze(this.#connection.canvas);
  }

  /** Says something about the picture; false if nothing can be said yet. */
  say(message: FromView): boolean {
    return this.#connection.say(message);
  }

  /** Finds out soon whether the connection is still alive. */
  probe(): void {
    this.#connection.probe();
  }

  /** Tells the media process that `isPaused` has changed. */
  tellPaused(): void {
    this.#connection.tellPaused();
  }

  /** Tells the media process that the grid's tiles have another size. */
  tellTiers(): void {
    this.#connection.tellTiers();
  }

  #see(frame: ShownFrame, size: Size, tile: number): void {
    const { player, onPlaying } = this.#options;
    this.#latency.see(frame);
    this.#rates.see(frame, tile);
    if (!this.#has_played) {
      this.#has_played = true;
      onPlaying(this.#connection.canvas);
      void this.#monitor.measure();
    } else if (size.width !== this.#size?.width || size.height !== this.#size.height) {
      player.measure(this.#connection.canvas);
    }
    this.#size = size;
    this.#stills.see(frame);
  }

  #hear(pong: Pong): void {
    this.#latency.hear(pong, performance.now());
    this.#options.onPong(pong);
  }
}
