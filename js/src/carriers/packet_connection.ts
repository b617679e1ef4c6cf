// One connection over a carrier: asks for packets, shows them, and says what has become of them.

import type { Percentiles, ShownFrame } from "../latency";
import type { Grid } from "../grid/grid";
import type { Tier } from "../grid/layout";
import { Liveness } from "../liveness";
import type { FromView, Pong, Problem, Refusal, Tiles, ToView } from "../messages";
import type { Size } from "../picture_size";
import type { Snapshot } from "../stats";
import { after } from "../timers";
import { Board } from "./canvas";
import type { Channel, OpenChannel } from "./channel";
import { usableCodecs } from "./decoder";
import { FreezeCounter } from "./freeze_counter";
import { PACKET, parsePacket, STILL_PIECE, type Codec, type Packet } from "./packet";
import type { FrameInfo } from "./painter";
import { TileDecoders } from "./tile_decoders";

/** So long a channel may take to open. */
const OPEN_MS = 5000;
/** So long the news that a frame was shown waits for a packet that it can go with. */
const SHOWN_MS = 50;
/** The most arrival times in one message; the oldest are left out. */
const MAX_ARRIVALS = 64;
/** The least time between two acknowledgements in a grid, whose packets are many. */
const GRID_ACKNOWLEDGE_MS = 20;

const UNREADABLE: Problem = {
  problem: "this browser decodes none of the pictures that arrive",
  expected: "a browser with H.264, VP8 or JPEG",
  fix: "try another browser",
};

export interface PacketConnectionOptions {
  readonly view: string;
  readonly open: OpenChannel;
  /** The least time between two acknowledgements. */
  readonly acknowledge_ms: number;
  /** What has turned out not to be decoded here; grows. */
  readonly undecodable: Set<Codec>;
  /** How old the picture is; told to the media process. */
  readonly latency: () => Percentiles | null;
  /** Whether nobody can see the picture, or a person has paused it; told to the media process. */
  readonly isPaused: () => boolean;
  /** The media process answers. */
  readonly onConnected: () => void;
  readonly grid: Grid;
  /** A frame was on the screen; `tile` is its rank in a grid, `size` that of all that is drawn. */
  readonly onShown: (frame: ShownFrame, size: Size, tile: number) => void;
  readonly onPong: (pong: Pong) => void;
  /** Gets what belongs to stills. */
  readonly onStill: (piece: ArrayBuffer) => void;
  /** Gets what this view is told about its picture. */
  readonly onTold: (message: ToView) => void;
  /** The connection is of no use any more, and why, if that is known. */
  readonly onClosed: (problem: Problem | null) => void;
  readonly stop: AbortSignal;
}

export class PacketConnection {
  readonly #options: PacketConnectionOptions;
  readonly #channel: Channel;
  readonly #board: Board;
  readonly #decoders: TileDecoders;
  #liveness: Liveness | null = null;
  /** What may be asked for, the present one first; it changes as long as it is refused. */
  #codecs: readonly Codec[] = [];
  /** The number of the newest packet that has arrived. */
  #newest = -1;
  /** What the media process was told of the size of tiles since the last `Watch`. */
  #sent_tiers: ReadonlyMap<number, Tier> = new Map();
  #is_watching = false;
  /** When it and those before it have arrived, as far as the media process was not told. */
  #arrived_ms: number[] = [];
  #acknowledged_ms = -Infinity;
  #is_acknowledgement_due = false;
  /** The number of the newest frame that was on the screen. */
  #shown = -1;
  /** What `shown` the media process was told last. */
  #acknowledged = -1;
  #nbytes = 0;
  readonly #freezes = new FreezeCounter();
  #picture_codec = "";
  #round_trip_ms: number | null = null;

  /** Opens the channel at once. */
  constructor(options: PacketConnectionOptions) {
    this.#options = options;
    const { stop } = options;
    this.#board = new Board(options.grid, stop);
    this.#decoders = new TileDecoders({
      decode: (tile) => ({
        draw: (picture, frame) => this.#board.draw(picture, frame, tile),
        onShown: (frame, at_ms) => this.#see(frame, at_ms, tile),
        requestKeyframe: () => this.#channel.send({ type: "RequestKeyframe", tile }),
      }),
      onUnreadable: (tile, stop) => options.grid.showUnreadable(tile, stop),
      onUnable: () => this.#useAnother(),
      stop,
    });
    const listener = {
      onOpen: () => void this.#begin(),
      onText: (text: string) => this.#read(text),
      onBinary: (message: Uint8Array<ArrayBuffer>) => this.#take(message),
      onClosed: (problem: Problem | null) => this.#close(problem),
    };
    this.#channel = options.open(listener, stop);
    after(OPEN_MS, () => this.#liveness === null && this.#close(null), stop);
  }

  get canvas(): HTMLCanvasElement {
    return this.#board.canvas;
  }

  /** The counters since the connection began, as a WebRTC connection has them. */
  get snapshot(): Snapshot {
    return {
      at_ms: performance.now(),
      decoded: this.#decoders.decoded,
      dropped: this.#decoders.dropped,
      freezes: this.#freezes.n,
      nbytes: this.#nbytes,
      codec: this.#picture_codec,
      decoder: "",
      rtt_ms: this.#round_trip_ms,
      pair: null,
    };
  }

  /** Says something about the picture; false if nothing can be said yet. */
  say(message: FromView): boolean {
    if (this.#round_trip_ms === null) return false;
    this.#channel.send(message);
    return true;
  }

  /** Finds out soon whether the connection is still alive. */
  probe(): void {
    this.#liveness?.probe();
  }

  /** Tells the media process that `isPaused` has changed. */
  tellPaused(): void {
    this.#liveness?.tell();
  }

  /** Tells the media process how large tiles are, if this is a grid, as far as that is new. */
  tellTiers(): void {
    const { tiers } = this.#options.grid;
    if (!this.#is_watching || tiers === null) return;
    const fresh = [...tiers].filter(([rank, tier]) => this.#sent_tiers.get(rank) !== tier);
    this.#sent_tiers = new Map([...this.#sent_tiers, ...fresh]);
    for (const tier of new Set(fresh.map(([, tier]) => tier))) {
      const ranks = fresh.filter(([, each]) => each === tier).map(([rank]) => rank);
      this.#channel.send({ type: "WantTier", tier, ranks });
    }
  }

  async #begin(): Promise<void> {
    const { latency, isPaused, stop } = this.#options;
    this.#liveness = new Liveness({
      send: (ping) => this.#channel.send(ping),
      latency,
      isPaused,
      isRelayedByTcp: () => false,
      onPong: (pong) => this.#hear(pong),
      onDead: () => this.#close(null),
      stop,
    });
    const usable = await usableCodecs();
    if (stop.aborted) return;
    this.#codecs = usable.filter((codec) => !this.#options.undecodable.has(codec));
    this.#watch(UNREADABLE);
  }

  /** Asks for packets; there is nothing left to ask for in the end, because of a problem. */
  #watch(problem: Problem): void {
    const [codec] = this.#codecs;
    if (codec === undefined) this.#close(problem);
    else {
      const { view, acknowledge_ms } = this.#options;
      this.#channel.send({ type: "Watch", view, codec, acknowledge_ms });
      [this.#is_watching, this.#sent_tiers] = [true, new Map()];
      this.tellTiers();
    }
  }

  /** The media process does not encode what was asked for, or refuses the page altogether. */
  #refuse(refusal: Refusal): void {
    if (refusal.view === "") return this.#close(refusal);
    this.#codecs = this.#codecs.slice(1);
    this.#watch(refusal);
  }

  /** Some browsers do not decode what they say they do. The next connection asks for another. */
  #useAnother(): void {
    const [codec] = this.#codecs;
    if (codec !== undefined) this.#options.undecodable.add(codec);
    this.#close(UNREADABLE);
  }

  #hear(pong: Pong): void {
    const is_first = this.#round_trip_ms === null;
    this.#round_trip_ms = performance.now() - pong.sent_ms;
    this.#options.onPong(pong);
    if (is_first) this.#options.onConnected();
  }

  #read(text: string): void {
    const message = parse(text);
    if (message?.type === "Pong") this.#liveness?.hear(message);
    else if (message?.type === "Refusal") this.#refuse(message);
    else if (message?.type === "Tiles") this.#layOut(message);
    else if (message !== null) this.#options.onTold(message as unknown as ToView);
  }

  #layOut(message: Tiles): void {
    this.#decoders.follow(message.tiles);
    this.#options.grid.hear(message);
  }

  #take(message: Uint8Array<ArrayBuffer>): void {
    const at_ms = performance.now();
    this.#nbytes += message.length;
    this.#liveness?.hearSomething(); // Nothing else may come while a cell keeps the comm.
    if (message[0] === STILL_PIECE) this.#options.onStill(message.slice(1).buffer);
    const packet = message[0] === PACKET ? parsePacket(message) : null;
    if (packet !== null) this.#takePacket(packet, at_ms);
  }

  #takePacket(packet: Packet, at_ms: number): void {
    this.#picture_codec = packet.codec;
    const is_next = packet.seq === (this.#newest + 1) >>> 0;
    if (!is_next) this.#decoders.lose();
    this.#newest = packet.seq;
    this.#arrived_ms.push(at_ms);
    this.#acknowledgeIn(0);
    this.#decoders.take(packet);
  }

  /** The least time between two acknowledgements. */
  get #spacing_ms(): number {
    const { acknowledge_ms, grid } = this.#options;
    return grid.tiers === null ? acknowledge_ms : Math.max(acknowledge_ms, GRID_ACKNOWLEDGE_MS);
  }

  /** Acknowledges what has come and was shown by then, unless that is too soon after the last. */
  #acknowledgeIn(delay_ms: number): void {
    const next_ms = this.#acknowledged_ms + this.#spacing_ms;
    const wait_ms = Math.max(delay_ms, next_ms - performance.now());
    if (wait_ms <= 0) return this.#acknowledge();
    if (this.#is_acknowledgement_due) return;
    this.#is_acknowledgement_due = true;
    const acknowledge = () => {
      this.#is_acknowledgement_due = false;
      this.#acknowledge();
    };
    after(wait_ms, acknowledge, this.#options.stop);
  }

  /** What has arrived and what was shown, apart: a decoder may want a packet more than it shows. */
  #acknowledge(): void {
    if (this.#arrived_ms.length === 0 && this.#acknowledged === this.#shown) return;
    const arrived_ms = this.#arrived_ms.slice(-MAX_ARRIVALS);
    this.#channel.send({ type: "Received", seq: this.#newest, arrived_ms, shown: this.#shown });
    this.#arrived_ms = [];
    this.#acknowledged = this.#shown;
    this.#acknowledged_ms = performance.now();
  }

  #see({ seq, timestamp }: FrameInfo, at_ms: number, tile: number): void {
    this.#shown = Math.max(this.#shown, seq);
    this.#freezes.see(at_ms);
    this.#acknowledgeIn(this.#options.grid.tiers === null ? SHOWN_MS : 0);
    const frame = { rtpTimestamp: timestamp, expectedDisplayTime: at_ms };
    const { width, height } = this.#board.canvas;
    this.#options.onShown(frame, { width, height }, tile);
  }

  #close(problem: Problem | null): void {
    if (!this.#options.stop.aborted) this.#options.onClosed(problem);
  }
}

/** Returns a message of ours; null for other text. */
function parse(text: string): Pong | Refusal | Tiles | { readonly type: "" } | null {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
