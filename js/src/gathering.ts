// ICE gathering of one connection: this browser's candidates, and how its servers did.

import { isForKernel, labelOf, parseCandidate, type Candidate } from "./candidate";
import { IceServers, REPLY_TIMEOUT_MS, type ServerError } from "./ice_servers";
import type { Log } from "./log";
import { after } from "./timers";

/** What browsers tell about a candidate; not every version of TypeScript's library has it. */
interface Gathered {
  readonly candidate: string;
  readonly url?: string | null;
  readonly relayProtocol?: string | null;
}

export interface GatheringOptions {
  /** Of the STUN and TURN servers that the connection uses. */
  readonly urls: readonly string[];
  /** There is a new candidate, or a server did something. */
  readonly onChange: () => void;
  readonly log: Log;
  readonly stop: AbortSignal;
}

export class Gathering {
  readonly servers: IceServers;
  readonly candidates: Candidate[] = [];
  /** Those candidates that the kernel can use, as text. */
  readonly for_kernel: string[] = [];
  readonly #connection: RTCPeerConnection;
  readonly #options: GatheringOptions;

  /** Listens from now on: create it before the local description is set. */
  constructor(connection: RTCPeerConnection, options: GatheringOptions) {
    const { urls, onChange, stop } = options;
    this.#connection = connection;
    this.#options = options;
    this.servers = new IceServers(urls);
    const take = ({ candidate }: RTCPeerConnectionIceEvent) => this.#take(candidate);
    const fail = (event: RTCPeerConnectionIceErrorEvent) => this.#fail(event);
    connection.addEventListener("icecandidate", take, { signal: stop });
    connection.addEventListener("icecandidateerror", fail, { signal: stop });
    connection.addEventListener("icegatheringstatechange", onChange, { signal: stop });
    after(REPLY_TIMEOUT_MS, () => this.#judge(), stop);
  }

  /** Whether there is no relay and none can be expected any more. */
  get areRelaysLost(): boolean {
    const has_relay = this.candidates.some(({ type }) => type === "relay");
    return !has_relay && this.servers.areRelaysLost(this.#isComplete());
  }

  #judge(): void {
    if (this.#isComplete() && this.#connection.connectionState === "connected") {
      this.servers.skipRest();
    }
    this.servers.overdue();
    this.#options.onChange();
  }

  #isComplete(): boolean {
    return this.#connection.iceGatheringState === "complete";
  }

  #take(gathered: Gathered | null): void {
    const candidate = parseCandidate(gathered?.candidate ?? "");
    if (gathered === null || candidate === null) return; // The end, of one generation or of all.
    const { url = null, relayProtocol = null } = gathered;
    this.#options.log(`candidate: ${labelOf(candidate)}${url ? ` from ${url}` : ""}`);
    this.candidates.push(candidate);
    if (isForKernel(candidate)) this.for_kernel.push(gathered.candidate);
    this.servers.replied({ type: candidate.type, url, relayProtocol });
    this.#options.onChange();
  }

  #fail(error: ServerError): void {
    const { url, errorCode, errorText } = error;
    this.#options.log(`candidate error: ${url} ${errorCode} ${errorText}`);
    this.servers.failed(error);
    this.#options.onChange();
  }
}
