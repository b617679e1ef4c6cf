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
  readonly #options: GatheringOptions;
  readonly #servers: Servers;
  readonly #candidates: Candidate[] = [];
  readonly #for_kernel: string[] = [];

  /** Listens from now on: make it before the local description is set. */
  constructor(connection: RTCPeerConnection, options: GatheringOptions) {
    const { urls, stop } = options;
    this.#options = options;
    this.#servers = new Servers(urls);
    const take = ({ candidate }: RTCPeerConnectionIceEvent) => this.#take(candidate);
    const fail = (event: RTCPeerConnectionIceErrorEvent) => this.#fail(event);
    connection.addEventListener("icecandidate", take, { signal: stop });
    connection.addEventListener("icecandidateerror", fail, { signal: stop });
    const judge = () => {
      // A browser that has finished has not asked the servers of which it says nothing.
      if (connection.iceGatheringState === "complete") this.#servers.finished();
      this.#servers.overdue();
      options.onNews();
    };
    after(SILENCE_MS, judge, stop);
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

  /** Whether no relay is to be hoped for any more. */
  get areRelaysLost(): boolean {
    return this.#servers.are_relays_lost;
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
