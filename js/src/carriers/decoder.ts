// Decodes the packets of one picture and shows it: by WebCodecs, or JPEG by the browser's images.

import { every } from "../timers";
import { Gate } from "./keyframe_gate";
import type { Codec, Packet } from "./packet";
import { Painter, type Draw, type FrameInfo } from "./painter";
import { PacketVideoDecoder } from "./video_decoder";

/** A decoder that gives nothing out for so long is given up. */
const STALL_MS = 1000;
const CHECK_MS = 250;
/** More does not wait in the decoder: half a second of video. */
const MAX_WAITING = 15;
const MAX_IMAGES = 3;
/** After so many failures in a row without a picture, this browser does not decode the codec. */
const MAX_FAILURES = 3;

/** In the order of preference; any profile and level will do. */
const PROBES = [
  ["H264", "avc1.4d001f"],
  ["VP8", "vp8"],
] as const;

export interface DecoderOptions {
  readonly draw: Draw;
  /** Gets each frame that was on the screen. */
  readonly onShown: (frame: FrameInfo, at_ms: number) => void;
  readonly requestKeyframe: () => void;
  /** This browser does not decode what comes. */
  readonly onUnable: () => void;
  readonly stop: AbortSignal;
}

/** Returns what this browser decodes, the better first; on plain http, it has no WebCodecs. */
export async function usableCodecs(): Promise<readonly Codec[]> {
  if (!("VideoDecoder" in globalThis)) return ["JPEG"];
  const asked = PROBES.map(async ([name, codec]) => {
    const config = { codec, optimizeForLatency: true };
    const answer = await VideoDecoder.isConfigSupported(config).catch(() => null);
    return answer?.supported === true ? name : null;
  });
  const usable = (await Promise.all(asked)).filter((name) => name !== null);
  return [...usable, "JPEG"];
}

export class PacketDecoder {
  readonly #options: DecoderOptions;
  readonly #painter: Painter;
  readonly #gate = new Gate();
  #video: PacketVideoDecoder | null = null;
  /** How many images are being decoded. */
  #images = 0;
  #failures = 0;
  #decoded = 0;

  constructor(options: DecoderOptions) {
    this.#options = options;
    const { draw, onShown, stop } = options;
    this.#painter = new Painter(draw, onShown, stop);
    every(CHECK_MS, () => this.#check(), stop);
    stop.addEventListener("abort", () => this.#drop(), { once: true });
  }

  /** How many frames were decoded. */
  get decoded(): number {
    return this.#decoded;
  }

  /** How many of them were not shown, because the next one was there already. */
  get dropped(): number {
    return this.#painter.n_replaced;
  }

  /** A packet is missing, which may have been for this decoder. */
  lose(): void {
    this.#gate.close();
  }

  take(packet: Packet): void {
    if (this.#options.stop.aborted) return;
    const { is_decodable, is_request_due } = this.#gate.take(packet, this.#isFull, now());
    if (is_request_due) this.#options.requestKeyframe();
    if (!is_decodable) return;
    if (packet.codec === "JPEG") void this.#decodeImage(packet);
    else this.#decodeVideo(packet);
  }

  get #isFull(): boolean {
    return this.#images >= MAX_IMAGES || (this.#video?.n_waiting ?? 0) >= MAX_WAITING;
  }

  async #decodeImage(packet: Packet): Promise<void> {
    this.#images += 1;
    const blob = new Blob([packet.data], { type: "image/jpeg" });
    const bitmap = await createImageBitmap(blob).catch(() => null);
    this.#images -= 1;
    if (bitmap === null) this.#fail();
    else this.#show(bitmap, packet);
  }

  #decodeVideo(packet: Packet): void {
    try {
      this.#video ??= this.#makeVideo();
      this.#video.decode(packet);
    } catch {
      this.#fail();
    }
  }

  #makeVideo(): PacketVideoDecoder {
    const video: PacketVideoDecoder = new PacketVideoDecoder({
      onFrame: (frame, info) => this.#show(frame, info),
      onFailed: () => video === this.#video && this.#fail(),
    });
    return video;
  }

  #show(picture: VideoFrame | ImageBitmap, info: FrameInfo): void {
    this.#failures = 0;
    this.#decoded += 1;
    this.#painter.draw(picture, info);
  }

  /** A decoder may hold a frame until the next one comes, or have stopped without a word. */
  #check(): void {
    const since_ms = this.#video?.stalled_since_ms ?? null;
    if (since_ms === null || now() - since_ms < STALL_MS) return;
    this.#video?.retire(this.#options.stop);
    this.#video = null;
    this.#beginAgain();
  }

  #fail(): void {
    this.#drop();
    this.#failures += 1;
    if (this.#options.stop.aborted) return;
    if (this.#failures >= MAX_FAILURES) this.#options.onUnable();
    else this.#beginAgain();
  }

  #beginAgain(): void {
    if (this.#gate.request(now())) this.#options.requestKeyframe();
  }

  #drop(): void {
    this.#video?.close();
    this.#video = null;
  }
}

function now(): number {
  return performance.now();
}
