// One RTCPeerConnection, from its offer to its close.

import type { IceServer } from "./messages";
import type { Signalling } from "./signal";
import { PATIENCE_MS, type PeerEvent, type Words } from "./state";
import { after, every } from "./timers";

const PING_MS = 2000;
/** Three pings; the kernel lets a silent page go after four. */
const SILENCE_MS = 6000;

export interface PeerOptions {
  readonly signalling: Signalling;
  /** Whether to ask the kernel for ICE servers first. */
  readonly needs_welcome: boolean;
  readonly emit: (event: PeerEvent) => void;
  /** Is given the track before the offer goes out, so that the player is ready for its frames. */
  readonly onTrack: (track: MediaStreamTrack) => void;
  /** Closes the connection; nothing is emitted after it. */
  readonly stop: AbortSignal;
}

export class Peer {
  readonly #options: PeerOptions;
  #connection: RTCPeerConnection | null = null;
  #cancelDeadline: () => void;

  /** Starts at once. */
  constructor(options: PeerOptions) {
    this.#options = options;
    this.#cancelDeadline = this.#startDeadline();
    this.#negotiate().catch((error: unknown) =>
      this.#emit({ type: "refused", words: mishap(error) }),
    );
  }

  /** The connection's statistics, or null before there is a connection. */
  async stats(): Promise<RTCStatsReport | null> {
    return (await this.#connection?.getStats()) ?? null;
  }

  async #negotiate(): Promise<void> {
    const { signalling, needs_welcome, onTrack, stop } = this.#options;
    const connection = this.#open(needs_welcome ? await signalling.iceServers(stop) : []);
    onTrack(connection.addTransceiver("video", { direction: "recvonly" }).receiver.track);
    await connection.setLocalDescription();
    if (stop.aborted) return;
    // Without waiting for candidates: the kernel learns our address from our connectivity checks.
    const reply = await signalling.exchange(connection.localDescription?.sdp ?? "", stop);
    if (reply.type === "Refusal") return this.#emit({ type: "refused", words: reply });
    this.#cancelDeadline();
    this.#cancelDeadline = this.#startDeadline();
    this.#emit({ type: "answered" });
    await connection.setRemoteDescription({ type: "answer", sdp: reply.sdp });
  }

  #open(iceServers: readonly IceServer[]): RTCPeerConnection {
    const { stop } = this.#options;
    const connection = new RTCPeerConnection({ iceServers: [...iceServers] });
    this.#connection = connection;
    stop.addEventListener("abort", () => connection.close(), { once: true });
    connection.addEventListener("connectionstatechange", () => this.#follow(connection), {
      signal: stop,
    });
    const channel = connection.createDataChannel("gpuview", { ordered: false, maxRetransmits: 0 });
    channel.addEventListener("open", () => this.#watch(channel), { once: true, signal: stop });
    return connection;
  }

  #follow(connection: RTCPeerConnection): void {
    // "disconnected" is left alone: it often mends itself, and where it does not, pongs stay away.
    if (connection.connectionState === "failed") this.#emit({ type: "lost" });
    if (connection.connectionState !== "connected") return;
    this.#cancelDeadline();
    this.#emit({ type: "connected" });
  }

  /** Pings the media process, and takes the connection for dead when it is silent. */
  #watch(channel: RTCDataChannel): void {
    const { stop } = this.#options;
    let heard_ms = performance.now();
    channel.addEventListener("message", () => (heard_ms = performance.now()), { signal: stop });
    channel.send("ping");
    const ping = () => {
      if (performance.now() - heard_ms >= SILENCE_MS) this.#emit({ type: "lost" });
      else if (channel.readyState === "open") channel.send("ping");
    };
    every(PING_MS, ping, stop);
  }

  #startDeadline(): () => void {
    return after(PATIENCE_MS, () => this.#emit({ type: "overdue" }), this.#options.stop);
  }

  #emit(event: PeerEvent): void {
    if (!this.#options.stop.aborted) this.#options.emit(event);
  }
}

/** What a browser says that has no WebRTC, has it switched off, or cannot read the answer. */
function mishap(error: unknown): Words {
  return {
    problem: `this browser could not make a connection: ${error instanceof Error ? error.message : String(error)}`,
    expected: "a browser with WebRTC and H.264 or VP8",
    fix: "allow WebRTC in the browser's settings and extensions, or use another browser",
  };
}
