// What is known of each STUN and TURN server that this page uses. Pure: the browser's events come
// in, problems come out.

import type { Problem } from "./messages";
import type { ConnectionProblem } from "./problems";

/** How long a server may take to reply before it is called silent. */
export const REPLY_TIMEOUT_MS = 1500;

/** The browser got no reply at all (W3C webrtc-pc section 4.8.3). */
const UNREACHABLE = 701;
/** STUN error codes (RFC 8489, RFC 8656) for bad credentials. */
const NOT_ALLOWED = [401, 431, 438, 441];
const NO_ROOM = [486, 508];
const MAX_REASON_CHARS = 100;

/** The fields of `RTCPeerConnectionIceErrorEvent` that we read. */
export interface ServerError {
  readonly url: string;
  readonly errorCode: number;
  readonly errorText: string;
}

/** What a gathered candidate says about its server, if the browser tells. */
export interface CandidateOrigin {
  readonly type: string;
  readonly url: string | null;
  /** udp, tcp or tls: how this page talks to the TURN server. */
  readonly relayProtocol: string | null;
}

/** A server, and in a few words how it did. */
export interface ServerNote {
  readonly url: string;
  readonly note: string;
}

interface ServerAddress {
  readonly scheme: string;
  readonly host: string;
  readonly port: number;
  readonly transport: string;
}

interface Server {
  readonly url: string;
  readonly address: ServerAddress;
  state: keyof typeof NOTES;
  /** Why it failed, if the browser said so. */
  problem: Problem | null;
}

const NOTES = {
  asked: "no reply yet",
  replied: "replied",
  maybe: "this server or another has replied",
  refused: "refused",
  unreachable: "not reached",
  skipped: "no reply before the browser found another route",
} as const;

export class IceServers {
  readonly #servers: readonly Server[];
  #is_overdue = false;

  constructor(urls: readonly string[]) {
    const unique = new Map(urls.map((url) => [JSON.stringify(parseUrl(url)), url]));
    this.#servers = [...unique.values()].map((url) => ({
      url,
      address: parseUrl(url),
      state: "asked",
      problem: null,
    }));
  }

  /** A candidate was gathered, so its server works, whatever was said of it before. */
  replied(origin: CandidateOrigin): void {
    const named = this.#servers.filter(({ address }) => isUrlOf(address, origin.url));
    const likely = this.#servers.filter((server) => mayBeFrom(server, origin));
    // A server may redirect a browser to one that we do not know (RFC 8656, error 300).
    const possible = origin.type === "relay" && named.length > 0 ? named : likely;
    for (const server of possible) {
      const is_sure = possible.length === 1 || named.includes(server);
      if (!is_sure && isSettled(server)) continue;
      server.state = is_sure ? "replied" : "maybe";
      server.problem = null;
    }
  }

  /** The browser reports an error, maybe of one network card only: a candidate outweighs it. */
  failed(error: ServerError): void {
    const server = this.#find(error.url);
    if (server === undefined || isSettled(server)) return;
    server.state = error.errorCode === UNREACHABLE ? "unreachable" : "refused";
    server.problem = failure(server, error);
  }

  /** `REPLY_TIMEOUT_MS` have passed. */
  overdue(): void {
    this.#is_overdue = true;
  }

  /** The browser is connected and stops asking the servers that have not replied yet. */
  skipRest(): void {
    for (const server of this.#servers) if (server.state === "asked") server.state = "skipped";
  }

  get notes(): readonly ServerNote[] {
    return this.#servers.map(({ url, state }) => ({ url, note: NOTES[state] }));
  }

  /** The present problems. That a server is not reached counts only after the timeout. */
  get problems(): readonly ConnectionProblem[] {
    const silent = this.#servers.filter((server) => isUnreached(server) && this.#is_overdue);
    const refusing = this.#servers.filter(({ state }) => state === "refused");
    return [...refusing, ...silent].map((server) => ({
      source: isTurn(server.url) ? "turn" : "stun",
      ...(server.problem ?? silence(server)),
    }));
  }

  /**
   * Whether no relay can be expected any more. Ask it only while there is none.
   *
   * @param is_complete Whether the browser has ended gathering. Before that, a server that it could
   *   not reach through one network card may be reached through another.
   */
  areRelaysLost(is_complete: boolean): boolean {
    const turn = this.#servers.filter(({ url }) => isTurn(url));
    const are_refused = turn.every(({ state }) => state === "refused");
    return are_refused || (is_complete && this.#is_overdue);
  }

  #find(url: string): Server | undefined {
    const wanted = parseUrl(url);
    const similar = this.#servers.filter(
      ({ address: { scheme, port, transport } }) =>
        scheme === wanted.scheme && port === wanted.port && transport === wanted.transport,
    );
    const same = similar.find(({ address }) => address.host === wanted.host);
    // Browsers report some hosts resolved, but a name belongs to one server only.
    const is_resolved = /^[\d.]+$|:/.test(wanted.host);
    return same ?? (is_resolved ? similar.find(({ state }) => state === "asked") : undefined);
  }
}

export function isTurn(url: string): boolean {
  return /^turns?:/i.test(url);
}

/** Parses a server's URL (RFC 7064, RFC 7065) and fills in the defaults. */
export function parseUrl(url: string): ServerAddress {
  const [, scheme = "", rest = "", query = ""] = /^(\w+):([^?]*)\??(.*)$/.exec(url) ?? [];
  const [, host = rest, port = ""] = /^(.*?|\[.*\]):(\d+)$/.exec(rest) ?? [];
  const is_secure = scheme.toLowerCase().endsWith("s");
  const [, transport = is_secure ? "tcp" : "udp"] = /transport=(\w+)/i.exec(query) ?? [];
  return {
    scheme: scheme.toLowerCase(),
    host: host.replace(/^\[|\]$/g, "").toLowerCase(),
    port: port === "" ? (is_secure ? 5349 : 3478) : Number(port),
    transport: transport.toLowerCase(),
  };
}

function isUnreached({ state }: Server): boolean {
  return state === "asked" || state === "unreachable";
}

/** Whether it is certain how the server did, until it gives a candidate. */
function isSettled({ state }: Server): boolean {
  return state === "replied" || state === "refused";
}

function isUrlOf(address: ServerAddress, url: string | null): boolean {
  return JSON.stringify(parseUrl(url ?? "")) === JSON.stringify(address);
}

/** Whether a candidate may come from this server, judged without its URL. */
function mayBeFrom({ url, address }: Server, { type, relayProtocol }: CandidateOrigin): boolean {
  // All STUN servers tell the same address, and the browser shows it once.
  if (!isTurn(url)) return type === "srflx";
  const protocol = address.scheme === "turns" ? "tls" : address.transport;
  return type === "relay" && (relayProtocol === null || relayProtocol === protocol);
}

function failure(server: Server, { errorCode, errorText }: ServerError): Problem {
  const reason = `${errorCode} ${errorText}`.trim().slice(0, MAX_REASON_CHARS).replace(/\.$/, "");
  const name = nameOf(server);
  if (errorCode === UNREACHABLE) {
    return { ...silence(server), problem: `${name} could not be reached (${reason})` };
  }
  if (NOT_ALLOWED.includes(errorCode)) {
    return {
      problem: `${name} refuses the username or credential (${reason})`,
      expected: "a username and credential that the server knows and that have not expired",
      fix:
        "correct GPUVIEW_TURN_USERNAME and GPUVIEW_TURN_CREDENTIAL, or GPUVIEW_TURN_SECRET and the " +
        "clocks, or the secret of the service at GPUVIEW_TURN_CREDENTIALS_URL",
    };
  }
  if (NO_ROOM.includes(errorCode)) {
    return {
      problem: `${name} has no room for another relay (${reason})`,
      expected: "a free relay port, and a quota that is not used up",
      fix: "raise the server's quota, or widen its range of relay ports",
    };
  }
  return {
    problem: `${name} refuses (${reason})`,
    expected: "a server that relays for this browser",
    fix: "look at the server's log, or set GPUVIEW_TURN_URL to another server",
  };
}

function silence(server: Server): Problem {
  const { scheme, host, port, transport } = server.address;
  const timeout = `${REPLY_TIMEOUT_MS / 1000} s`;
  if (!isTurn(server.url)) {
    return {
      problem: `${nameOf(server)} has not told this browser its address`,
      expected: `a reply within ${timeout}`,
      fix: "set GPUVIEW_STUN_URL to a server that this browser can reach over UDP",
    };
  }
  const trust = scheme === "turns" ? ", with a certificate that this browser trusts" : "";
  const detour = transport === "udp" ? ", or add its URL with ?transport=tcp" : "";
  return {
    problem: `${nameOf(server)} has not replied`,
    expected: `a reply within ${timeout} from ${transport.toUpperCase()} port ${port} of ${host}${trust}`,
    fix: `start the server, or open that port to this browser${detour}`,
  };
}

function nameOf({ url }: Server): string {
  return `the ${isTurn(url) ? "TURN" : "STUN"} server ${url}`;
}
