// What this browser gathers for one connection: its candidates, and its servers' failures.

import { isForKernel, labelOf, parseCandidate, type Candidate } from "./candidate";
import type { Log } from "./log";
import { Servers, SILENCE_MS, type ServerError, type ServerNote } from "./servers";
import { after } from "./timers";
import type { Trouble } from "./words";

/** What browsers tell of a candidate and not every version of TypeScript's library knows. */
interface Gathered {
  readonly candidate: string;
  readonly url?: string | null;
  readonly relayProtocol?: string | null;
}

export interface GatheringOptions {
  /** Of the STUN and TURN servers that the connection uses. */
  readonly urls: readonly string[];
  /** There is a new candidate, or something else to say of a server. */
  readonly onNews: () => void;
  readonly log: Log;
  readonly stop: AbortSignal;
}

export class Gathering {
  readonly #connection: RTCPeerConnection;
  readonly #options: GatheringOptions;
  readonly #servers: Servers;
  readonly #candidates: Candidate[] = [];
  readonly #for_kernel: string[] = [];

  /** Listens from now on: make it before the local description is set. */
  constructor(connection: RTCPeerConnection, options: GatheringOptions) {
    const { urls, stop } = options;
    this.#connection = connection;
    this.#options = options;
    this.#servers = new Servers(urls);
    const take = ({ candidate }: RTCPeerConnectionIceEvent) => this.#take(candidate);
    const fail = (event: RTCPeerConnectionIceErrorEvent) => this.#fail(event);
    connection.addEventListener("icecandidate", take, { signal: stop });
    connection.addEventListener("icecandidateerror", fail, { signal: stop });
    connection.addEventListener("icegatheringstatechange", options.onNews, { signal: stop });
    after(SILENCE_MS, () => this.#judge(), stop);
  }

  get candidates(): readonly Candidate[] {
    return this.#candidates;
  }

  /** Those candidates that the kernel can use, as text. */
  get forKernel(): readonly string[] {
    return this.#for_kernel;
  }

  get servers(): readonly ServerNote[] {
    return this.#servers.notes;
  }

  get troubles(): readonly Trouble[] {
    return this.#servers.troubles;
  }

  /** Whether there is no relay, and none to be hoped for any more. */
  get areRelaysLost(): boolean {
    const has_relay = this.#candidates.some(({ type }) => type === "relay");
    return !has_relay && this.#servers.areRelaysLost(this.#isComplete());
  }

  #judge(): void {
    if (this.#isComplete() && this.#connection.connectionState === "connected") {
      this.#servers.spared();
    }
    this.#servers.overdue();
    this.#options.onNews();
  }

  #isComplete(): boolean {
    return this.#connection.iceGatheringState === "complete";
  }

  #take(gathered: Gathered | null): void {
    const candidate = parseCandidate(gathered?.candidate ?? "");
    if (gathered === null || candidate === null) return; // The end, of one generation or of all.
    const { url = null, relayProtocol = null } = gathered;
    this.#options.log(`candidate: ${labelOf(candidate)}${url ? ` from ${url}` : ""}`);
    this.#candidates.push(candidate);
    if (isForKernel(candidate)) this.#for_kernel.push(gathered.candidate);
    this.#servers.answered({ type: candidate.type, url, relayProtocol });
    this.#options.onNews();
  }

  #fail(error: ServerError): void {
    const { url, errorCode, errorText } = error;
    this.#options.log(`candidate error: ${url} ${errorCode} ${errorText}`);
    this.#servers.failed(error);
    this.#options.onNews();
  }
}
