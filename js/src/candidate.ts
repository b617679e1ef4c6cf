// ICE candidates as text. Pure.

import { endpoint, isHidden } from "./addresses";

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

/** Parses `candidate:...`; returns null for anything else. */
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

/** Returns the candidates in an SDP, each once, as `candidate:...`. */
export function candidatesOf(sdp: string): readonly string[] {
  const lines = sdp.split(/\r?\n/).filter((line) => line.startsWith("a=candidate:"));
  return [...new Set(lines.map((line) => line.slice("a=".length)))];
}

/** Whether the kernel can send to this candidate: it resolves no hidden names and has no TCP. */
export function isForKernel({ protocol, component, address }: Candidate): boolean {
  return protocol === "udp" && component === 1 && !isHidden(address);
}

/** Returns a candidate as a log shows it: `host 203.0.113.9:5000 udp`. */
export function labelOf({ type, address, port, protocol }: Candidate): string {
  return `${type} ${endpoint(address, port)} ${protocol}`;
}

export function labelOfText(text: string): string {
  const candidate = parseCandidate(text);
  return candidate === null ? "that cannot be read" : labelOf(candidate);
}
