// What is known of each STUN and TURN server that this page uses. Decided purely: the browser's
// events come in, problems come out.

import type { Trouble, Words } from "./words";

/** How long a server may take for its first sign before it is called silent. */
export const SILENCE_MS = 1500;

/** Means that the browser got no reply at all (W3C webrtc-pc section 4.8.3). */
const UNREACHABLE = 701;
/** STUN error codes (RFC 8489, RFC 8656) that speak of who asks. */
const NOT_ALLOWED = [401, 431, 438, 441];
const NO_ROOM = [486, 508];
const MAX_REASON_CHARS = 100;

/** What `icecandidateerror` says. */
export interface ServerError {
  readonly url: string;
  readonly errorCode: number;
  readonly errorText: string;
}

/** What a gathered candidate says of the server that it is from, where the browser tells. */
export interface ServerSign {
  readonly type: string;
  readonly url: string | null;
  /** udp, tcp or tls: how this page talks to the TURN server. */
  readonly relayProtocol: string | null;
}

/** A server, and in a few words what came of it. */
export interface ServerNote {
  readonly url: string;
  readonly note: string;
}

interface Address {
  readonly scheme: string;
  readonly host: string;
  readonly port: number;
  readonly transport: string;
}

interface Server {
  readonly url: string;
  readonly address: Address;
  state: "asked" | "answered" | "maybe" | "refused" | "unreachable" | "left";
  words: Words | null;
}

/** What is certain enough for now. */
const ENDS: readonly Server["state"][] = ["answered", "refused"];

const NOTES: Readonly<Record<Server["state"], string>> = {
  asked: "no reply yet",
  answered: "replied",
  maybe: "this one or another has replied",
  refused: "refuses",
  unreachable: "not reached",
  left: "no reply before the browser had found another way",
};

export class Servers {
  readonly #servers: readonly Server[];
  #is_overdue = false;

  constructor(urls: readonly string[]) {
    const unique = new Map(urls.map((url) => [JSON.stringify(parseUrl(url)), url]));
    this.#servers = [...unique.values()].map((url) => ({
      url,
      address: parseUrl(url),
      state: "asked",
      words: null,
    }));
  }

  /** A candidate was gathered: its server works, whatever was said of it before. */
  answered(sign: ServerSign): void {
    const named = this.#servers.filter((server) => isOfUrl(sign, server));
    const likely = this.#servers.filter((server) => isFrom(sign, server));
    // A server may send a browser on to another one, of which nobody has told us (RFC 8656, 300).
    const possible = sign.type === "relay" && named.length > 0 ? named : likely;
    for (const server of possible) {
      const is_sure = possible.length === 1 || named.includes(server);
      if (!is_sure && ENDS.includes(server.state)) continue;
      server.state = is_sure ? "answered" : "maybe";
      server.words = null;
    }
  }

  /** The browser reports an error. It may be of one network card, so a candidate outweighs it. */
  failed(error: ServerError): void {
    const server = this.#find(error.url);
    if (server === undefined || ENDS.includes(server.state)) return;
    server.state = error.errorCode === UNREACHABLE ? "unreachable" : "refused";
    server.words = reason(server, error);
  }

  /** `SILENCE_MS` are over. */
  overdue(): void {
    this.#is_overdue = true;
  }

  /** The browser has a connection: it asks those servers no more of which it has said nothing. */
  spared(): void {
    for (const server of this.#servers) if (server.state === "asked") server.state = "left";
  }

  get notes(): readonly ServerNote[] {
    return this.#servers.map(({ url, state }) => ({ url, note: NOTES[state] }));
  }

  /** What is to be said now. That a server is not reached is known only after `SILENCE_MS`. */
  get troubles(): readonly Trouble[] {
    const silent = this.#servers.filter((server) => isUnreached(server) && this.#is_overdue);
    const refusing = this.#servers.filter(({ state }) => state === "refused");
    return [...refusing, ...silent].map((server) => ({
      kind: isTurn(server.url) ? "turn" : "stun",
      words: server.words ?? silence(server),
    }));
  }

  /**
   * Whether no relay is to be hoped for, where none has come yet.
   *
   * @param is_complete Whether the browser gathers no more; before that, a server that it could not
   *   reach by one network card may be reached by another.
   */
  areRelaysLost(is_complete: boolean): boolean {
    const relays = this.#servers.filter(({ url }) => isTurn(url));
    const are_refused = relays.every(({ state }) => state === "refused");
    return are_refused || (is_complete && this.#is_overdue);
  }

  #find(url: string): Server | undefined {
    const { scheme, host, port, transport } = parseUrl(url);
    const alike = this.#servers.filter(
      ({ address }) =>
        address.scheme === scheme && address.port === port && address.transport === transport,
    );
    const same = alike.find(({ address }) => address.host === host);
    // Browsers report some hosts resolved; but a name is that of one server only.
    return same ?? (isIp(host) ? alike.find(({ state }) => state === "asked") : undefined);
  }
}

export function isTurn(url: string): boolean {
  return /^turns?:/i.test(url);
}

/** Reads a server's URL (RFC 7064, RFC 7065), and puts in what it leaves out. */
export function parseUrl(url: string): Address {
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

function isFrom({ type, relayProtocol }: ServerSign, server: Server): boolean {
  if (type !== "relay" && type !== "srflx") return false;
  // One address is learnt from all STUN servers, and shown once.
  if (!isTurn(server.url)) return type === "srflx";
  if (type !== "relay") return false;
  return relayProtocol === null || relayProtocol === relayProtocolOf(server.address);
}

function isOfUrl({ url }: Pick<ServerSign, "url">, { address }: Server): boolean {
  return JSON.stringify(parseUrl(url ?? "")) === JSON.stringify(address);
}

function isIp(host: string): boolean {
  return /^[\d.]+$|:/.test(host);
}

function relayProtocolOf({ scheme, transport }: Address): string {
  return scheme === "turns" ? "tls" : transport;
}

function reason(server: Server, { errorCode, errorText }: ServerError): Words {
  const because = `${errorCode} ${errorText}`.trim().slice(0, MAX_REASON_CHARS).replace(/\.$/, "");
  const name = nameOf(server);
  if (errorCode === UNREACHABLE) {
    return { ...silence(server), problem: `${name} could not be reached (${because})` };
  }
  if (NOT_ALLOWED.includes(errorCode)) {
    return {
      problem: `${name} refuses the username or credential (${because})`,
      expected: "a username and credential that it knows, and that have not run out",
      fix: "correct GPUVIEW_TURN_USERNAME and GPUVIEW_TURN_CREDENTIAL, or GPUVIEW_TURN_SECRET and the clocks",
    };
  }
  if (NO_ROOM.includes(errorCode)) {
    return {
      problem: `${name} has no room for one more (${because})`,
      expected: "a free relay port, and a quota that is not used up",
      fix: "raise its quota, or widen its range of relay ports",
    };
  }
  return {
    problem: `${name} refuses (${because})`,
    expected: "a server that relays for this browser",
    fix: "look at the server's log, or set GPUVIEW_TURN_URL to another server",
  };
}

function silence(server: Server): Words {
  return isTurn(server.url) ? silenceOfTurn(server) : silenceOfStun(server);
}

function silenceOfTurn(server: Server): Words {
  const { scheme, host, port, transport } = server.address;
  const trust = scheme === "turns" ? ", with a certificate that this browser trusts" : "";
  const detour = transport === "udp" ? ", or add its URL with ?transport=tcp" : "";
  return {
    problem: `${nameOf(server)} has not replied`,
    expected: `a reply within ${SILENCE_MS / 1000} s from ${transport.toUpperCase()} port ${port} of ${host}${trust}`,
    fix: `start the server, or open that port to this browser${detour}`,
  };
}

function silenceOfStun(server: Server): Words {
  return {
    problem: `${nameOf(server)} has not told this browser its address`,
    expected: `a reply within ${SILENCE_MS / 1000} s`,
    fix: "set GPUVIEW_STUN_URL to a server that this browser can reach over UDP",
  };
}

function nameOf({ url }: Server): string {
  return `the ${isTurn(url) ? "TURN" : "STUN"} server ${url}`;
}
