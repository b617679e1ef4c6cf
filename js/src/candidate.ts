// ICE candidates as text: what they say, and what follows from their addresses. Pure.

export interface Candidate {
  /** host, srflx, prflx or relay. */
  readonly type: string;
  /** An IP address, or the `.local` name behind which a browser hides one. */
  readonly address: string;
  readonly port: number;
  /** udp or tcp. */
  readonly protocol: string;
  readonly component: number;
}

// RFC 8839 section 5.1.
const CANDIDATE = /^(?:a=)?candidate:\S+ (\d+) (\w+) \d+ (\S+) (\d+) typ (\w+)/i;

// RFC 1918, loopback, link-local, shared (RFC 6598); and IPv6's unique local, link-local, loopback.
const PRIVATE_IPV4 =
  /^(10|127|192\.168|169\.254|172\.(1[6-9]|2\d|3[01])|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7]))\./;
const PRIVATE_IPV6 = /^(f[cd]|fe[89ab]|::1$)/i;

/** Reads `candidate:...`, or returns null where it is none. */
export function parseCandidate(text: string): Candidate | null {
  const [, component = "", protocol = "", address = "", port = "", type = ""] =
    CANDIDATE.exec(text) ?? [];
  if (type === "") return null;
  return {
    type,
    address,
    port: Number(port),
    protocol: protocol.toLowerCase(),
    component: Number(component),
  };
}

/** Reads all of these that are candidates. */
export function parseCandidates(texts: readonly string[]): readonly Candidate[] {
  return texts.map(parseCandidate).filter((candidate) => candidate !== null);
}

/** Returns the candidates in an SDP, each once, as `candidate:...`. */
export function candidatesOf(sdp: string): readonly string[] {
  const lines = sdp.split(/\r?\n/).filter((line) => line.startsWith("a=candidate:"));
  return [...new Set(lines.map((line) => line.slice("a=".length)))];
}

/** Whether the kernel can send to this candidate: it knows no hidden names, and no TCP. */
export function isForKernel({ protocol, component, address }: Candidate): boolean {
  return protocol === "udp" && component === 1 && !isHidden(address);
}

/** Whether this is a name in the place of an address, which only the page's own network resolves. */
export function isHidden(address: string): boolean {
  return address.toLowerCase().endsWith(".local");
}

export function isPrivate(address: string): boolean {
  return address.includes(":") ? PRIVATE_IPV6.test(address) : PRIVATE_IPV4.test(address);
}

/** Whether two IPv4 addresses differ in their last number only. */
export function areNeighbours(one: string, other: string): boolean {
  const network = one.replace(/\.\d+$/, ".");
  return network !== one && other.startsWith(network);
}

/** Returns a candidate as a log has it: `host 203.0.113.9:5000 udp`. */
export function labelOf({ type, address, port, protocol }: Candidate): string {
  return `${type} ${endpoint(address, port)} ${protocol}`;
}

/** Returns `203.0.113.9:5000` or `[2001:db8::9]:5000`. */
export function endpoint(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Returns an endpoint for a person to read: of a hidden name, which is 40 characters, the start. */
export function shortEndpoint(address: string, port: number): string {
  if (address === "") return `hidden:${port}`;
  return endpoint(isHidden(address) ? `${address.slice(0, 8)}….local` : address, port);
}
