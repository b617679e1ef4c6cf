// The model of a stream without a widget: what the kernel would keep in traits comes over a
// WebSocket from the media process, and what is sent goes the same way.

import { CLOSE, closingProblem } from "../carriers/close_codes";
import type { Interaction, KernelMessage, PageMessage, Problem, Status } from "../messages";
import type { Model, ModelEvent, Traits } from "../model";
import { Link } from "./socket_link";

type Callback = Parameters<Model["on"]>[1];

/** Of a stream of which nothing has been said yet. */
export const WAITING: Status = {
  type: "Status",
  state: "waiting",
  part: "",
  waits_for: "",
  problem: "",
  expected: "",
  fix: "",
  hint: "",
  width: 0,
  height: 0,
  is_size_chosen: false,
  has_ended: false,
  made_ms: 0,
  caption: "",
  legend: [],
};

export const NO_INTERACTION: Interaction = { type: "Interaction", events: [], knobs: [] };

const NO_MEDIA_PROCESS: Problem = {
  problem: "the kernel shows no stream now",
  expected: "a notebook in which the stream's cell has run",
  fix: "run that cell; this page goes on by itself",
};

export class RemoteModel implements Model {
  readonly #traits: Traits;
  readonly #callbacks = new Map<ModelEvent, Set<Callback>>();
  readonly #link: Link;
  readonly #isKernelGone: () => Promise<boolean>;
  /** Whether the media process that the present connections belong to has gone. */
  #has_ended = false;

  /**
   * @param url Of the stream's WebSocket.
   * @param isKernelGone Asks the server, when it refuses a WebSocket: a page is not told why.
   */
  constructor(url: string, isKernelGone: () => Promise<boolean>, stop: AbortSignal) {
    this.#isKernelGone = isKernelGone;
    this.#traits = {
      offers: {},
      answers: {},
      status: WAITING,
      interaction: NO_INTERACTION,
      recording: null,
      epoch: 1,
      needs_peer_config: true,
      place: "",
      has_server_extension: true,
      // There is no comm, and the media process refuses what may not be used.
      carriers: ["webrtc", "socket"],
    };
    this.#link = new Link({
      url,
      onText: (text) => this.#hear(text),
      onClosed: (code, reason) => void this.#leave(code, reason),
      stop,
    });
  }

  get<Name extends keyof Traits>(name: Name): Traits[Name] {
    return this.#traits[name];
  }

  set<Name extends keyof Traits>(name: Name, value: Traits[Name]): void {
    this.#traits[name] = value;
  }

  /** Does nothing: whatever is in a trait is sent as a message, too. */
  save_changes(): void {}

  send(message: PageMessage): void {
    this.#link.send(message);
  }

  on(event: ModelEvent, callback: Callback): void {
    const callbacks = this.#callbacks.get(event) ?? new Set();
    this.#callbacks.set(event, callbacks.add(callback));
  }

  off(event: ModelEvent, callback: Callback): void {
    this.#callbacks.get(event)?.delete(callback);
  }

  #emit(event: ModelEvent, content: unknown = null): void {
    for (const callback of [...(this.#callbacks.get(event) ?? [])]) callback(content, []);
  }

  #change<Name extends keyof Traits>(name: Name, value: Traits[Name]): void {
    this.set(name, value);
    this.#emit(`change:${name}`);
  }

  #hear(text: string): void {
    const message = parse(text);
    if (message === null) return;
    if (message.type === "Status") this.#follow(message);
    else if (message.type === "Interaction") this.#change("interaction", message);
    else if (message.type === "Answer") this.#change("answers", { [message.view]: message });
    else if (message.type === "Refusal" && message.view === "") this.#fail(message);
    else this.#emit("msg:custom", message);
  }

  /** The first word of each connection to a stream, and then each change. */
  #follow(status: Status): void {
    this.#change("status", status);
    if (!this.#has_ended) return;
    this.#has_ended = false;
    // A new media process knows nothing of the connections to the one before it.
    this.#change("epoch", this.get("epoch") + 1);
  }

  /** The stream cannot be shown, for now at least. */
  #fail({ problem, expected, fix }: Problem): void {
    this.#has_ended = true;
    this.#change("status", { ...WAITING, state: "failed", problem, expected, fix });
  }

  async #leave(code: number, reason: string): Promise<void> {
    const problem = closingProblem(code, reason);
    if (problem !== null) return this.#fail(problem);
    switch (code) {
      case CLOSE.gone:
        this.#has_ended = true;
        return;
      case CLOSE.no_media_process:
        return this.#fail(NO_MEDIA_PROCESS);
      default:
        if (await this.#isKernelGone()) this.#emit("comm_live_update");
    }
  }
}

/** Returns what the media process or, through it, the kernel says; null for other text. */
function parse(text: string): KernelMessage | null {
  try {
    return JSON.parse(text) as KernelMessage; // From our own other half, which validates it.
  } catch {
    return null;
  }
}
