// Fakes of what the carriers use: the Jupyter server's WebSocket, and WebCodecs.

import { afterEach, beforeEach, vi } from "vitest";

import type { SentMessage } from "../../src/carriers/channel";
import type { Pong } from "../../src/messages";
import type { FakeModel } from "../fakes";

/** `FakeWebSocket.made` has every `new WebSocket` of a test, in order. */
export class FakeWebSocket extends EventTarget {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static made: FakeWebSocket[] = [];
  readyState = 0;
  binaryType = "blob";
  readonly sent: SentMessage[] = [];

  constructor(readonly url: string) {
    super();
    FakeWebSocket.made.push(this);
  }

  open(): void {
    this.readyState = FakeWebSocket.OPEN;
    this.dispatchEvent(new Event("open"));
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  /** The other side sends something. */
  hear(data: object): void {
    const content = data instanceof Uint8Array ? data.slice().buffer : JSON.stringify(data);
    this.dispatchEvent(new MessageEvent("message", { data: content }));
  }

  pong(): void {
    this.hear(pongNow());
  }

  /** The other side, or the way to it, ends. */
  end(code = 1006, reason = ""): void {
    this.readyState = 3;
    this.dispatchEvent(Object.assign(new Event("close"), { code, reason }));
  }

  /** The page closes it. */
  close(): void {
    this.readyState = 3;
  }

  get isClosed(): boolean {
    return this.readyState === 3;
  }

  sentOf<Kind extends SentMessage["type"]>(kind: Kind): Extract<SentMessage, { type: Kind }>[] {
    return ofType(this.sent, kind);
  }
}

/** What the page sent through the comm's tunnel. */
export function tunnelled(model: FakeModel): SentMessage[] {
  return model.sentOf("CarrierText").map(({ text }) => JSON.parse(text));
}

export function ofType<Kind extends SentMessage["type"]>(
  messages: readonly SentMessage[],
  kind: Kind,
): Extract<SentMessage, { type: Kind }>[] {
  return messages.filter(
    (message): message is Extract<SentMessage, { type: Kind }> => message.type === kind,
  );
}

/** The media process, whose clock is the page's, answers at once. */
export function pongNow(): Pong {
  const now_ms = performance.now();
  return { type: "Pong", sent_ms: now_ms - 5, clock_ms: now_ms, width: 640, height: 360 };
}

interface Chunk {
  readonly type: string;
  readonly timestamp: number;
  readonly duration: number;
}

/** Gives out each frame at once, unless it `holds` them. */
export class FakeVideoDecoder {
  static made: FakeVideoDecoder[] = [];
  static holds = false;
  /** The configurations that it rejects begin so. */
  static rejects = "none";
  /** The frames that nobody has closed. */
  static n_open = 0;
  state = "unconfigured";
  readonly configs: { readonly codec: string }[] = [];
  readonly chunks: Chunk[] = [];
  readonly #held: Chunk[] = [];

  constructor(readonly init: { output: (frame: object) => void; error: (error: Error) => void }) {
    FakeVideoDecoder.made.push(this);
  }

  static async isConfigSupported({ codec }: { codec: string }) {
    return { supported: codec.startsWith("avc1") };
  }

  configure(config: { codec: string }): void {
    if (config.codec.startsWith(FakeVideoDecoder.rejects)) throw new TypeError("unsupported");
    this.configs.push(config);
    this.state = "configured";
  }

  decode(chunk: Chunk): void {
    this.chunks.push(chunk);
    this.#held.push(chunk);
    if (!FakeVideoDecoder.holds) this.#give();
  }

  async flush(): Promise<void> {
    this.#give();
  }

  close(): void {
    this.state = "closed";
  }

  /** The decoder stops by itself. */
  fail(): void {
    this.state = "closed";
    this.init.error(new Error("Decoding error."));
  }

  #give(): void {
    for (const { timestamp } of this.#held.splice(0)) {
      FakeVideoDecoder.n_open += 1;
      this.init.output({ timestamp, close: () => (FakeVideoDecoder.n_open -= 1) });
    }
  }
}

/** Replaces the browser's WebSocket, WebCodecs and canvas until `vi.unstubAllGlobals`. */
export function stubCarriers(): void {
  FakeWebSocket.made = [];
  Object.assign(FakeVideoDecoder, { made: [], holds: false, rejects: "none", n_open: 0 });
  vi.stubGlobal("WebSocket", FakeWebSocket);
  vi.stubGlobal("VideoDecoder", FakeVideoDecoder);
  const chunk = class {
    constructor(init: Chunk) {
      Object.assign(this, init);
    }
  };
  vi.stubGlobal("EncodedVideoChunk", chunk);
  const context = { drawImage: vi.fn(), transferFromImageBitmap: vi.fn() };
  vi.spyOn(HTMLCanvasElement.prototype, "getContext").mockReturnValue(context as never);
  localStorage.clear();
}

/** Gives each test of a file fake decoders, a fake clock, and what ends them. */
export function useDecoders(): { readonly end: AbortController } {
  let end = new AbortController();
  beforeEach(() => {
    vi.useFakeTimers();
    stubCarriers();
    end = new AbortController();
  });
  afterEach(() => {
    end.abort();
    vi.useRealTimers();
    vi.restoreAllMocks();
    vi.unstubAllGlobals();
  });
  return {
    get end() {
      return end;
    },
  };
}
