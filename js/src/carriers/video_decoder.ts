// One WebCodecs decoder, from its first keyframe until it fails or is given up.

import { after } from "../timers";
import { codecString, type Packet } from "./packet";
import type { FrameInfo } from "./painter";

/** Firefox wants durations. They say nothing: each frame is shown when it is decoded. */
const CHUNK_US = 33_333;
/** So long a decoder may take to give up what it holds. */
const FLUSH_MS = 1000;

export interface VideoDecoderOptions {
  /** Gets each frame, which it has to close. */
  readonly onFrame: (frame: VideoFrame, info: FrameInfo) => void;
  /** The decoder has ended by itself. */
  readonly onFailed: () => void;
}

export class PacketVideoDecoder {
  readonly #decoder: VideoDecoder;
  readonly #onFrame: VideoDecoderOptions["onFrame"];
  #config = "";
  /** What has not come out yet, by number. */
  readonly #decoding = new Map<number, FrameInfo>();
  #stalled_since_ms: number | null = null;

  /** Throws if the browser has no such decoder. */
  constructor({ onFrame, onFailed }: VideoDecoderOptions) {
    this.#onFrame = onFrame;
    this.#decoder = new VideoDecoder({
      output: (frame) => this.#takeFrame(frame),
      error: onFailed,
    });
  }

  /** How many frames have not come out yet. */
  get n_waiting(): number {
    return this.#decoding.size;
  }

  /** Since when nothing has come out although something should; null if nothing should. */
  get stalled_since_ms(): number | null {
    return this.#stalled_since_ms;
  }

  /** Decodes the next packet. Throws if the browser does not take it. */
  decode(packet: Packet): void {
    if (packet.is_keyframe) this.#configure(packet);
    const { seq, timestamp, width, height, data } = packet;
    this.#decoding.set(seq, { seq, timestamp, width, height });
    this.#stalled_since_ms ??= performance.now();
    const type = packet.is_keyframe ? "key" : "delta";
    const times = { timestamp: seq * CHUNK_US, duration: CHUNK_US };
    this.#decoder.decode(new EncodedVideoChunk({ type, ...times, data }));
  }

  /** Gives out what it holds, if it still does anything, and ends. */
  retire(stop: AbortSignal): void {
    const close = () => this.close();
    this.#decoder.flush().then(close, close);
    after(FLUSH_MS, close, stop);
  }

  close(): void {
    if (this.#decoder.state !== "closed") this.#decoder.close();
  }

  /** Makes it ready for another kind or size of picture. */
  #configure(keyframe: Packet): void {
    const codec = codecString(keyframe);
    if (codec === null) throw new Error("a keyframe without parameters");
    const config = `${codec} ${keyframe.width}x${keyframe.height}`;
    // Without a description, H.264 is Annex B.
    if (config !== this.#config) this.#decoder.configure({ codec, optimizeForLatency: true });
    this.#config = config;
  }

  #takeFrame(frame: VideoFrame): void {
    const seq = Math.round(frame.timestamp / CHUNK_US);
    const info = this.#decoding.get(seq);
    // Older ones will not come any more.
    for (const known of this.#decoding.keys()) if (known <= seq) this.#decoding.delete(known);
    this.#stalled_since_ms = this.#decoding.size === 0 ? null : performance.now();
    if (info === undefined) frame.close();
    else this.#onFrame(frame, info);
  }
}
