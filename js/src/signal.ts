// One view's conversation with the kernel, over the model.
//
// An offer goes out twice at once: as a trait, which is delivered even when the page has not yet
// been told how to reach a busy kernel, and as a custom message, which ipywidgets neither delays
// nor merges. The message is then repeated, as either may be lost; the kernel removes doubles.
// After a while it is repeated less often: a cell may run for hours, and every message waits for it.

import type {
  Answer,
  Candidates,
  KernelMessage,
  Offer,
  PageMessage,
  Problem,
  Refusal,
  PeerConfig,
} from "./messages";
import { listen, type Model } from "./model";
import { every } from "./timers";

const REPEAT_MS = 400;
/** So many repeats go out (16 s), and from then on each twentieth of them (8 s). */
const EAGER_REPEATS = 40;
const SLOWDOWN = 20;
/** The kernel reads no more of one side's candidates and problems. */
const MAX_CANDIDATES = 64;

export class Signalling {
  readonly view = newViewId();
  readonly #model: Model;
  readonly #kernelGone: () => void;
  #seq = 0;

  /** `kernelGone` is called when there is no way left to reach the kernel. */
  constructor(model: Model, kernelGone: () => void) {
    this.#model = model;
    this.#kernelGone = kernelGone;
  }

  /** Asks how this view is to connect. Never settles once `stop` is aborted. */
  welcome(stop: AbortSignal): Promise<PeerConfig | Refusal> {
    return new Promise((resolve) => {
      const heard = new AbortController();
      const asking = AbortSignal.any([stop, heard.signal]);
      const take = (message: PeerConfig | Refusal) => {
        heard.abort();
        resolve(message);
      };
      const read = (message: KernelMessage) => {
        if (message.type === "PeerConfig") take(message);
        if (message.type === "Refusal" && message.seq === 0) take(message); // It is of no offer.
      };
      this.#hear(read, asking);
      this.#repeat({ type: "GetPeerConfig", view: this.view }, asking);
    });
  }

  /** Sends an offer until it is answered. Never settles once `stop` is aborted. */
  exchange(sdp: string, stop: AbortSignal): Promise<Answer | Refusal> {
    this.#seq += 1;
    const offer: Offer = { type: "Offer", view: this.view, seq: this.#seq, sdp };
    return new Promise((resolve) => {
      const heard = new AbortController();
      const asking = AbortSignal.any([stop, heard.signal]);
      const take = (reply: Answer | Refusal) => {
        heard.abort();
        this.#tidy(offer);
        resolve(reply);
      };
      const look = () => {
        const reply = this.#model.get("answers")[this.view];
        if (reply?.seq === offer.seq) take(reply);
      };
      // An offer that the kernel itself does not take is refused at once, by message.
      const read = (message: KernelMessage) => {
        if (message.type === "Refusal" && message.seq === offer.seq) take(message);
      };
      listen(this.#model, "change:answers", look, asking);
      this.#hear(read, asking);
      this.#post(offer);
      this.#repeat(offer, asking);
    });
  }

  /** Calls `onCandidates` with what the kernel adds to its answer to the newest offer. */
  hearCandidates(onCandidates: (message: Candidates) => void, stop: AbortSignal): void {
    const read = (message: KernelMessage) => {
      if (message.type === "Candidates" && message.seq === this.#seq) onCandidates(message);
    };
    this.#hear(read, stop);
  }

  /** Tells the kernel all that was gathered for the newest offer, once. */
  tellCandidates(candidates: readonly string[], problems: readonly Problem[]): void {
    this.#send({
      type: "Candidates",
      view: this.view,
      seq: this.#seq,
      candidates: candidates.slice(0, MAX_CANDIDATES),
      problems: problems.slice(0, MAX_CANDIDATES),
    });
  }

  /** Sends a line for the kernel's log. */
  log(text: string): void {
    this.#send({ type: "PageLog", view: this.view, text });
  }

  /** Says that this view has gone, if the kernel knows of it. */
  bye(): void {
    if (this.#seq > 0) this.#send({ type: "Bye", view: this.view });
  }

  /** Custom messages reach every view of the model: calls `onMessage` with those to this one. */
  #hear(onMessage: (message: KernelMessage) => void, stop: AbortSignal): void {
    const read = (content: unknown) => {
      const message = content as KernelMessage; // From our own kernel half, which checks itself.
      if (message.type !== "Status" && message.view === this.view) onMessage(message);
    };
    listen(this.#model, "msg:custom", read, stop);
  }

  #post(offer: Offer): void {
    // Only our own: an old offer of another view would bring that view back to life.
    this.#model.set("offers", { [this.view]: offer });
    this.#model.save_changes();
  }

  #tidy({ view, seq }: Offer): void {
    this.#send({ type: "Ack", view, seq });
    // Not saved, so nothing is sent: it keeps the SDP out of a notebook saved with widget state.
    if (view in this.#model.get("offers")) this.#model.set("offers", {});
  }

  #repeat(message: PageMessage, stop: AbortSignal): void {
    let count = 0;
    const repeat = () => {
      count += 1;
      if (count <= EAGER_REPEATS || count % SLOWDOWN === 0) this.#send(message);
    };
    this.#send(message);
    every(REPEAT_MS, repeat, stop);
  }

  #send(message: PageMessage): void {
    try {
      this.#model.send(message);
    } catch {
      // JupyterLab throws when the kernel connection was disposed: the kernel was shut down.
      this.#kernelGone();
    }
  }
}

/** 24 hexadecimal digits. `crypto.randomUUID` does not exist on plain http, where many hubs live. */
function newViewId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
