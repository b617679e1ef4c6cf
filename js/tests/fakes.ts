// Fakes of what the widget talks to: the model, and the browser's WebRTC.

import { vi } from "vitest";

import { INTERACTION_CHANNEL } from "../src/messages";
import type {
  Answer,
  Candidates,
  PageMessage,
  Pong,
  Problem,
  Refusal,
  Status,
  PeerConfig,
} from "../src/messages";
import type { ShownFrame } from "../src/latency";
import type { Model, ModelCallback, ModelEvent, Traits } from "../src/model";
import { NO_INTERACTION, WAITING } from "../src/standalone/remote_model";

export const LIVE: Status = { ...WAITING, state: "live" };

/** Records what the page sends, and lets a test speak for the kernel. */
export class FakeModel implements Model {
  readonly sent: PageMessage[] = [];
  readonly #traits: Traits = {
    offers: {},
    answers: {},
    status: LIVE,
    interaction: NO_INTERACTION,
    recording: { state: "off", text: "" },
    epoch: 0,
    needs_peer_config: false,
    place: "",
    has_server_extension: true,
    carriers: ["webrtc"],
  };
  readonly #callbacks = new Set<readonly [ModelEvent, ModelCallback]>();
  /** The value of `offers` at each `save_changes`. */
  readonly saved: Traits["offers"][] = [];
  isDisposed = false;

  constructor(traits: Partial<Traits> = {}) {
    Object.assign(this.#traits, traits);
  }

  get listeners(): number {
    return this.#callbacks.size;
  }

  get<Name extends keyof Traits>(name: Name): Traits[Name] {
    return this.#traits[name];
  }

  set<Name extends keyof Traits>(name: Name, value: Traits[Name]): void {
    this.#traits[name] = value;
  }

  save_changes(): void {
    this.saved.push(this.#traits.offers);
  }

  send(message: PageMessage): void {
    if (this.isDisposed) throw new Error("Cannot send");
    this.sent.push(message);
  }

  on(event: ModelEvent, callback: ModelCallback): void {
    this.#callbacks.add([event, callback]);
  }

  off(event: ModelEvent, callback: ModelCallback): void {
    for (const entry of this.#callbacks) {
      if (entry[0] === event && entry[1] === callback) this.#callbacks.delete(entry);
    }
  }

  /** What `render` gets: its listeners end with the output. */
  scoped(): Model & { end(): void } {
    const own: (readonly [ModelEvent, ModelCallback])[] = [];
    return {
      get: this.get.bind(this),
      set: this.set.bind(this),
      save_changes: this.save_changes.bind(this),
      send: this.send.bind(this),
      on: (event, callback) => {
        own.push([event, callback]);
        this.on(event, callback);
      },
      off: this.off.bind(this),
      end: () => own.forEach(([event, callback]) => this.off(event, callback)),
    };
  }

  fire(event: ModelEvent, content?: unknown, buffers: readonly BufferSource[] = []): void {
    for (const [name, callback] of [...this.#callbacks]) {
      if (name === event) callback(content, buffers);
    }
  }

  /** The kernel changes a trait. */
  push<Name extends keyof Traits>(name: Name, value: Traits[Name]): void {
    this.set(name, value);
    this.fire(`change:${name}`);
  }

  status(state: Status["state"], problem = "", expected = "", fix = ""): void {
    this.push("status", { ...LIVE, state, problem, expected, fix });
  }

  reply(...replies: (Answer | Refusal)[]): void {
    this.push("answers", Object.fromEntries(replies.map((reply) => [reply.view, reply])));
  }

  /** The kernel tells a view how to connect. */
  configure(view: string, config: Partial<PeerConfig> = {}): void {
    const message: PeerConfig = {
      type: "PeerConfig",
      view,
      ice_servers: [],
      ice_transport_policy: "all",
      wants_log: false,
      problems: [],
      ...config,
    };
    this.fire("msg:custom", message);
  }

  /** The kernel adds to its answer to the newest offer. */
  add(candidates: string[], problems: Problem[] = []): void {
    const { view, seq } = last(this.sentOf("Offer"));
    const message = { type: "Candidates", view, seq, candidates, problems } satisfies Candidates;
    this.fire("msg:custom", message);
  }

  sentOf<Kind extends PageMessage["type"]>(kind: Kind): Extract<PageMessage, { type: Kind }>[] {
    return this.sent.filter(
      (message): message is Extract<PageMessage, { type: Kind }> => message.type === kind,
    );
  }
}

export class FakeChannel extends EventTarget {
  readyState = "connecting";
  readonly sent: string[] = [];
  binaryType = "blob";

  constructor(
    readonly label: string,
    readonly options: RTCDataChannelInit,
  ) {
    super();
  }

  open(): void {
    this.readyState = "open";
    this.dispatchEvent(new Event("open"));
  }

  send(text: string): void {
    this.sent.push(text);
  }

  /** The other side sends something. */
  hear(data: ArrayBuffer | string): void {
    this.dispatchEvent(new MessageEvent("message", { data }));
  }

  /** The media process, whose clock is the page's, answers a ping at once. */
  pong(changes: Partial<Pong> = {}): void {
    const now_ms = performance.now();
    const clocks = { sent_ms: now_ms, clock_ms: now_ms };
    const pong: Pong = { type: "Pong", ...clocks, width: 0, height: 0, ...changes };
    this.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(pong) }));
  }
}

/** `FakePeerConnection.made` has every `new RTCPeerConnection` of a test, in order. */
export class FakePeerConnection extends EventTarget {
  static made: FakePeerConnection[] = [];
  connectionState: RTCPeerConnectionState = "new";
  iceConnectionState: RTCIceConnectionState = "new";
  iceGatheringState: RTCIceGatheringState = "new";
  signalingState: RTCSignalingState = "stable";
  /** What `addIceCandidate` was given. */
  readonly added: string[] = [];
  localDescription: { sdp: string } | null = null;
  remoteDescription: RTCSessionDescriptionInit | null = null;
  /** For pings. */
  channel: FakeChannel | null = null;
  stills: FakeChannel | null = null;
  interaction: FakeChannel | null = null;
  report = new Map<string, object>();
  isClosed = false;

  constructor(readonly configuration: RTCConfiguration) {
    super();
    FakePeerConnection.made.push(this);
  }

  addTransceiver(_kind: string, _init: RTCRtpTransceiverInit) {
    return { receiver: { track: {} } };
  }

  createDataChannel(label: string, options: RTCDataChannelInit = {}): FakeChannel {
    const channel = new FakeChannel(label, options);
    if (label === "gpuview") this.channel = channel;
    else if (label === INTERACTION_CHANNEL) this.interaction = channel;
    else this.stills = channel;
    return channel;
  }

  async setLocalDescription(): Promise<void> {
    this.localDescription = { sdp: `offer ${FakePeerConnection.made.indexOf(this) + 1}` };
  }

  async setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void> {
    if (description.sdp === "nonsense") throw new Error("Failed to parse SessionDescription");
    this.remoteDescription = description;
  }

  async addIceCandidate({ candidate = "" }: RTCIceCandidateInit): Promise<void> {
    if (this.remoteDescription === null) throw new Error("The remote description was null");
    if (candidate.includes("nonsense")) throw new Error("Error processing ICE candidate");
    this.added.push(candidate);
  }

  async getStats(): Promise<Map<string, object>> {
    return this.report;
  }

  close(): void {
    this.isClosed = true;
  }

  /** The browser gathers a candidate. */
  gather(candidate: string, from: { url?: string; relayProtocol?: string } = {}): void {
    this.dispatchEvent(
      Object.assign(new Event("icecandidate"), { candidate: { candidate, ...from } }),
    );
  }

  /** The browser reports an error of a server. */
  fail(url: string, errorCode: number, errorText = ""): void {
    this.dispatchEvent(
      Object.assign(new Event("icecandidateerror"), { url, errorCode, errorText }),
    );
  }

  /** The browser ends gathering. */
  complete(): void {
    this.iceGatheringState = "complete";
    this.dispatchEvent(new Event("icegatheringstatechange"));
  }

  become(state: RTCPeerConnectionState): void {
    this.connectionState = state;
    this.dispatchEvent(new Event("connectionstatechange"));
    if (state === "connected" && this.channel?.readyState === "connecting") this.channel.open();
  }
}

/** Replaces the browser's WebRTC with fakes until `vi.unstubAllGlobals`. */
export function stubBrowser(): void {
  FakePeerConnection.made = [];
  vi.stubGlobal("RTCPeerConnection", FakePeerConnection);
  vi.stubGlobal("MediaStream", class {});
  // As of a server without the extension.
  vi.stubGlobal("fetch", async () => new Response("", { status: 404 }));
  const prototype = HTMLVideoElement.prototype;
  Object.defineProperty(prototype, "srcObject", { writable: true, configurable: true });
  Object.defineProperty(prototype, "videoWidth", { value: 640, configurable: true });
  Object.defineProperty(prototype, "videoHeight", { value: 360, configurable: true });
  Object.defineProperty(prototype, "requestVideoFrameCallback", {
    value(this: HTMLVideoElement, callback: (now_ms: number, frame: ShownFrame) => void) {
      const show = (event: Event) => callback(0, (event as CustomEvent<ShownFrame>).detail);
      this.addEventListener("fake-frame", show, { once: true });
    },
    configurable: true,
  });
}

/** The browser decodes a frame for the newest video. */
export function showFrame(root: HTMLElement, changes: Partial<ShownFrame> = {}): void {
  const detail: ShownFrame = { expectedDisplayTime: performance.now(), ...changes };
  const video = [...root.querySelectorAll("video")].at(-1);
  video?.dispatchEvent(new CustomEvent("fake-frame", { detail }));
}

/** Returns the last item of a list that must not be empty. */
export function last<Item>(items: readonly Item[]): Item {
  const item = items.at(-1);
  if (item === undefined) throw new Error("the list is empty");
  return item;
}
