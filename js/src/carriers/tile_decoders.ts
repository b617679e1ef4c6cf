// The decoders of one connection, one for each tile. A stream that is no grid has tile 0.

import type { Tile } from "../messages";
import { PacketDecoder, type DecoderOptions } from "./decoder";
import type { Packet } from "./packet";

export interface TileDecodersOptions {
  /** What each tile's decoder does with its packets. */
  readonly decode: (tile: number) => Omit<DecoderOptions, "onUnable" | "stop">;
  /** A tile's packets are not decoded here, though other tiles' are, until `stop`. */
  readonly onUnreadable: (tile: number, stop: AbortSignal) => void;
  /** No tile's packets are decoded here. */
  readonly onUnable: () => void;
  readonly stop: AbortSignal;
}

interface Decoding {
  readonly decoder: PacketDecoder;
  readonly end: AbortController;
  /** Of this one, or of all. */
  readonly stop: AbortSignal;
  is_given_up: boolean;
}

export class TileDecoders {
  readonly #options: TileDecodersOptions;
  readonly #decodings = new Map<number, Decoding>();
  /** The counters of the decoders that have ended. */
  readonly #ended = { decoded: 0, dropped: 0 };
  /** Whether a decoder that has ended had decoded what came. */
  #has_played = false;

  constructor(options: TileDecodersOptions) {
    this.#options = options;
  }

  /** How many frames were decoded. */
  get decoded(): number {
    return this.#decoders.reduce((n, { decoded }) => n + decoded, this.#ended.decoded);
  }

  /** How many of them were not shown, because the next one was there already. */
  get dropped(): number {
    return this.#decoders.reduce((n, { dropped }) => n + dropped, this.#ended.dropped);
  }

  take(packet: Packet): void {
    const decoding = this.#decodings.get(packet.tile) ?? this.#begin(packet.tile);
    if (!decoding.is_given_up) decoding.decoder.take(packet);
  }

  /** A packet is missing, of whichever tile. */
  lose(): void {
    this.#decoders.forEach((decoder) => decoder.lose());
  }

  /**
   * Ends the decoders of ranks that are not shown any more. A rank whose pictures could not be
   * decoded gets another chance once its worker sends none: it may go on with others.
   */
  follow(tiles: readonly Tile[]): void {
    const shown = new Map(tiles.map((tile) => [tile.rank, tile]));
    for (const [rank, { is_given_up }] of this.#decodings) {
      const tile = shown.get(rank);
      if (tile === undefined || (is_given_up && isInterrupted(tile))) this.#end(rank);
    }
  }

  get #decoders(): readonly PacketDecoder[] {
    return [...this.#decodings.values()].map(({ decoder }) => decoder);
  }

  #begin(tile: number): Decoding {
    const end = new AbortController();
    const stop = AbortSignal.any([this.#options.stop, end.signal]);
    const decoder = new PacketDecoder({
      ...this.#options.decode(tile),
      onUnable: () => this.#giveUp(tile),
      stop,
    });
    const decoding = { decoder, end, stop, is_given_up: false };
    this.#decodings.set(tile, decoding);
    return decoding;
  }

  #end(tile: number): void {
    const decoding = this.#decodings.get(tile);
    if (decoding === undefined) return;
    this.#ended.decoded += decoding.decoder.decoded;
    this.#ended.dropped += decoding.decoder.dropped;
    this.#has_played ||= plays(decoding);
    this.#decodings.delete(tile);
    decoding.end.abort();
  }

  /** If others' pictures are decoded, it is this rank that sends what nobody can decode. */
  #giveUp(tile: number): void {
    const decoding = this.#decodings.get(tile);
    if (decoding === undefined) return;
    decoding.is_given_up = true;
    const others_play = this.#has_played || [...this.#decodings.values()].some(plays);
    if (!others_play) return this.#options.onUnable();
    this.#options.onUnreadable(tile, decoding.stop);
  }
}

function plays({ decoder, is_given_up }: Decoding): boolean {
  return decoder.decoded > 0 && !is_given_up;
}

/** Whether its worker is silent, or says why it sends nothing. */
function isInterrupted({ silent_since, text }: Tile): boolean {
  return silent_since !== undefined || text !== "";
}
