// One connection over a carrier: asks for packets, shows them, and says what has become of them.

import type { Percentiles, ShownFrame } from "../latency";
import { Liveness } from "../liveness";
import type { Pong, Problem, Received, Refusal } from "../messages";
import type { Size } from "../picture_size";
import type { Snapshot } from "../stats";
import { after } from "../timers";
import type { Channel, OpenChannel } from "./channel";
import { chooseCodec, PacketDecoder } from "./decoder";
import { FreezeCounter } from "./freezes";
import { PACKET, parsePacket, STILL_PIECE, type Codec, type Packet } from "./packet";
import type { FrameInfo } from "./painter";

/** So long a channel may take to open. */
const OPEN_MS = 5000;
/** So long the news that a frame was shown waits for a packet that it can go with. */
const SHOWN_MS = 50;

const UNREADABLE: Problem = {
  problem: "this browser decodes none of the pictures that arrive",
  expected: "a browser with H.264, VP8 or JPEG",
  fix: "try another browser",
};

export interface PacketConnectionOptions {
  readonly view: string;
  readonly open: OpenChannel;
  /** How old the picture is; told to the media process. */
  readonly latency: () => Percentiles | null;
  /** The media process answers. */
  readonly onConnected: () => void;
  /** A frame was on the screen. */
  readonly onShown: (frame: ShownFrame, size: Size) => void;
  readonly onPong: (pong: Pong) => void;
  /** Gets what belongs to stills. */
  readonly onStill: (message: ArrayBuffer | string) => void;
  /** The connection is of no use any more, and why, if that is known. */
  readonly onClosed: (problem: Problem | null) => void;
  readonly stop: AbortSignal;
}

export class PacketConnection {
  readonly #options: PacketConnectionOptions;
  readonly #channel: Channel;
  readonly #decoder: PacketDecoder;
  #liveness: Liveness | null = null;
  #codec: Codec | null = null;
  /** The newest packet that has arrived. */
  #newest: Received | null = null;
  /** The number of the newest frame that was on the screen. */
  #shown = -1;
  /** What `shown` the media process was told last. */
  #told = -1;
  #nbytes = 0;
  #n_shown = 0;
  readonly #freezes = new FreezeCounter();
  #picture_codec = "";
  #round_trip_ms: number | null = null;

  /** Opens the channel at once. */
  constructor(options: PacketConnectionOptions) {
    this.#options = options;
    const { stop } = options;
    this.#decoder = new PacketDecoder({
      onShown: (frame, at_ms) => this.#see(frame, at_ms),
      requestKeyframe: () => this.#channel.send({ type: "RequestKeyframe" }),
      onUnable: () => this.#useImages(),
      stop,
    });
    const listener = {
      onOpen: () => void this.#begin(),
      onText: (text: string) => this.#read(text),
      onBinary: (message: Uint8Array<ArrayBuffer>) => this.#take(message),
      onClosed: () => this.#close(null),
    };
    this.#channel = options.open(listener, stop);
    after(OPEN_MS, () => this.#liveness === null && this.#close(null), stop);
  }

  get canvas(): HTMLCanvasElement {
    return this.#decoder.canvas;
  }

  /** The counters since the connection began, as a WebRTC connection has them. */
  get snapshot(): Snapshot {
    return {
      at_ms: performance.now(),
      decoded: this.#decoder.decoded,
      dropped: this.#decoder.decoded - this.#n_shown,
      freezes: this.#freezes.n,
      nbytes: this.#nbytes,
      codec: this.#picture_codec,
      decoder: "",
      rtt_ms: this.#round_trip_ms,
      pair: null,
    };
  }

  /** Finds out soon whether the connection is still alive. */
  probe(): void {
    this.#liveness?.probe();
  }

  async #begin(): Promise<void> {
    const { latency, stop } = this.#options;
    this.#liveness = new Liveness({
      send: (ping) => this.#channel.send(ping),
      latency,
      onPong: (pong) => this.#hear(pong),
      onDead: () => this.#close(null),
      stop,
    });
    const codec = await chooseCodec();
    if (!stop.aborted) this.#watch(codec);
  }

  #watch(codec: Codec): void {
    this.#codec = codec;
    this.#channel.send({ type: "Watch", view: this.#options.view, codec });
  }

  /** Some browsers say that they decode what they do not decode. */
  #useImages(): void {
    if (this.#codec === "JPEG") this.#close(UNREADABLE);
    else this.#watch("JPEG");
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
    if (message?.type === "Refusal") this.#close(message);
    if (message === null) this.#options.onStill(text);
  }

  #take(message: Uint8Array<ArrayBuffer>): void {
    const at_ms = performance.now();
    this.#nbytes += message.length;
    if (message[0] === STILL_PIECE) this.#options.onStill(message.slice(1).buffer);
    const packet = message[0] === PACKET ? parsePacket(message) : null;
    if (packet !== null) this.#takePacket(packet, at_ms);
  }

  #takePacket(packet: Packet, at_ms: number): void {
    this.#picture_codec = packet.codec;
    this.#newest = { type: "Received", seq: packet.seq, at_ms, shown: this.#shown };
    this.#acknowledge();
    this.#decoder.take(packet);
  }

  /** What has arrived and what was shown, apart: a decoder may want a packet more than it shows. */
  #acknowledge(): void {
    if (this.#newest === null) return;
    this.#told = this.#shown;
    this.#channel.send({ ...this.#newest, shown: this.#shown });
  }

  #see({ seq, timestamp, width, height }: FrameInfo, at_ms: number): void {
    this.#shown = seq;
    this.#freezes.see(at_ms);
    this.#n_shown += 1;
    const tell = () => this.#told !== this.#shown && this.#acknowledge();
    after(SHOWN_MS, tell, this.#options.stop);
    const frame = { rtpTimestamp: timestamp, expectedDisplayTime: at_ms };
    this.#options.onShown(frame, { width, height });
  }

  #close(problem: Problem | null): void {
    if (!this.#options.stop.aborted) this.#options.onClosed(problem);
  }
}

/** Returns a message of ours; null for other text. */
function parse(text: string): Pong | Refusal | { readonly type: "" } | null {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
