// One view's conversation with the kernel, over the model, and with the media process itself, where
// the Jupyter server has a way to it: whichever reply comes first counts.
//
// An offer goes out twice at once: as a trait, which arrives even if the page has not yet been told
// how to reach a busy kernel, and as a custom message, which ipywidgets neither delays nor merges.
// The message is then repeated, because either may be lost; the kernel removes duplicates. After a
// while it is repeated less often: a cell may run for hours, and every message waits for it.

import type { Channel, OpenChannel } from "./carriers/channel";
import type {
  Answer,
  Candidates,
  KernelMessage,
  Offer,
  PageMessage,
  PeerConfig,
  Problem,
  Refusal,
} from "./messages";
import { listen, type Model } from "./model";
import { every } from "./timers";

const REPEAT_MS = 400;
/** How many repeats go out (16 s) before only every twentieth does (8 s). */
const EAGER_REPEATS = 40;
const SLOWDOWN = 20;
/** The kernel reads no more candidates or problems of one page. */
const MAX_CANDIDATES = 64;

/** Listens for a reply until `signal` is aborted, and hands it to `take`. */
type Receive<Reply> = (take: (reply: Reply) => void, signal: AbortSignal) => void;

export class Signalling {
  readonly view = newViewId();
  readonly #model: Model;
  readonly #onKernelGone: () => void;
  /** What hears messages from the kernel's side. */
  readonly #readers = new Set<(message: KernelMessage) => void>();
  /** What has not been replied to. */
  readonly #requests = new Set<PageMessage>();
  #channel: Channel | null = null;
  #seq = 0;

  /** `onKernelGone` is called when there is no way left to reach the kernel. */
  constructor(model: Model, onKernelGone: () => void) {
    this.#model = model;
    this.#onKernelGone = onKernelGone;
  }

  /** Says everything over this channel as well, as long as it is open and `stop` is not aborted. */
  use(open: OpenChannel, stop: AbortSignal): void {
    const channel: Channel = open(
      {
        onOpen: () => {
          this.#channel = channel;
          this.#requests.forEach((request) => channel.send(request));
        },
        onText: (text) => this.#hear(text),
        onBinary: () => undefined,
        onClosed: () => this.#leave(channel),
      },
      stop,
    );
    stop.addEventListener("abort", () => this.#leave(channel), { once: true });
  }

  /** Asks how this view is to connect. Never settles once `stop` is aborted. */
  getPeerConfig(stop: AbortSignal): Promise<PeerConfig | Refusal> {
    const receive: Receive<PeerConfig | Refusal> = (take, signal) => {
      const read = (message: KernelMessage) => {
        if (message.type === "PeerConfig") take(message);
        if (message.type === "Refusal" && message.seq === 0) take(message); // Not of an offer.
      };
      this.#receive(read, signal);
    };
    return this.#request({ type: "GetPeerConfig", view: this.view }, receive, stop);
  }

  /** Sends an offer until it is answered. Never settles once `stop` is aborted. */
  exchange(sdp: string, stop: AbortSignal): Promise<Answer | Refusal> {
    this.#seq += 1;
    const offer: Offer = { type: "Offer", view: this.view, seq: this.#seq, sdp };
    const receive: Receive<Answer | Refusal> = (take, signal) => {
      const finish = (reply: Answer | Refusal) => {
        take(reply);
        this.#acknowledge(offer);
      };
      const look = () => {
        const reply = this.#model.get("answers")[this.view];
        if (reply?.seq === offer.seq) finish(reply);
      };
      // An offer that the kernel itself rejects is refused at once, by message.
      const read = (message: KernelMessage) => {
        const is_reply = message.type === "Answer" || message.type === "Refusal";
        if (is_reply && message.seq === offer.seq) finish(message);
      };
      listen(this.#model, "change:answers", look, signal);
      this.#receive(read, signal);
      // Only our own: an old offer of another view would bring that view back to life.
      this.#model.set("offers", { [this.view]: offer });
      this.#model.save_changes();
    };
    return this.#request(offer, receive, stop);
  }

  /** Calls `onCandidates` with what the kernel adds to its answer to the newest offer. */
  receiveCandidates(onCandidates: (message: Candidates) => void, stop: AbortSignal): void {
    const read = (message: KernelMessage) => {
      if (message.type === "Candidates" && message.seq === this.#seq) onCandidates(message);
    };
    this.#receive(read, stop);
  }

  /** Sends everything that was gathered for the newest offer, once. */
  sendCandidates(candidates: readonly string[], problems: readonly Problem[]): void {
    this.#send({
      type: "Candidates",
      view: this.view,
      seq: this.#seq,
      candidates: candidates.slice(0, MAX_CANDIDATES),
      problems: problems.slice(0, MAX_CANDIDATES),
    });
  }

  /** Sends text for the kernel's log. */
  sendLog(text: string): void {
    this.#send({ type: "PageLog", view: this.view, text });
  }

  /** Says that this view has gone, if the kernel knows of it. */
  bye(): void {
    if (this.#seq > 0) this.#send({ type: "Bye", view: this.view });
  }

  /** Repeats `message` until its reply is received. */
  #request<Reply>(
    message: PageMessage,
    receive: Receive<Reply>,
    stop: AbortSignal,
  ): Promise<Reply> {
    return new Promise((resolve) => {
      const answered = new AbortController();
      const signal = AbortSignal.any([stop, answered.signal]);
      const take = (reply: Reply) => {
        answered.abort();
        resolve(reply);
      };
      receive(take, signal);
      this.#requests.add(message);
      signal.addEventListener("abort", () => this.#requests.delete(message), { once: true });
      this.#channel?.send(message);
      this.#repeat(message, signal);
    });
  }

  /** Calls `onMessage` with the messages to this view; the model gets those to all its views. */
  #receive(onMessage: (message: KernelMessage) => void, stop: AbortSignal): void {
    const read = (content: unknown) => {
      const message = content as KernelMessage; // From our own kernel half, which validates it.
      if ("view" in message && message.view === this.view) onMessage(message);
    };
    listen(this.#model, "msg:custom", read, stop);
    this.#readers.add(read);
    stop.addEventListener("abort", () => this.#readers.delete(read), { once: true });
  }

  /** Takes what comes over the channel. */
  #hear(text: string): void {
    const message: KernelMessage = JSON.parse(text); // From our own media process.
    for (const read of [...this.#readers]) read(message);
  }

  #leave(channel: Channel): void {
    if (this.#channel === channel) this.#channel = null;
  }

  #acknowledge({ view, seq }: Offer): void {
    this.#send({ type: "Ack", view, seq });
    // Not saved, so nothing is sent: it keeps the SDP out of a notebook saved with widget state.
    if (view in this.#model.get("offers")) this.#model.set("offers", {});
  }

  #repeat(message: PageMessage, stop: AbortSignal): void {
    let count = 0;
    const repeat = () => {
      count += 1;
      if (count <= EAGER_REPEATS || count % SLOWDOWN === 0) this.#sendByModel(message);
    };
    this.#sendByModel(message);
    every(REPEAT_MS, repeat, stop);
  }

  #send(message: PageMessage): void {
    this.#channel?.send(message);
    this.#sendByModel(message);
  }

  #sendByModel(message: PageMessage): void {
    try {
      this.#model.send(message);
    } catch {
      // JupyterLab throws once the kernel connection is disposed: the kernel was shut down.
      this.#onKernelGone();
    }
  }
}

/** 24 hexadecimal digits. `crypto.randomUUID` does not exist on plain http, where many hubs live. */
function newViewId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
