// Why a connection did not come up, as far as this page can know. Pure.

import { areNeighbours, endpoint, familyOf, isHidden, isPrivate } from "./addresses";
import { isForKernel, type Candidate } from "./candidate";
import { isTurn, type ServerNote } from "./ice_servers";
import type { Problem } from "./messages";
import type { ConnectionProblem } from "./problems";
import type { CandidatePair } from "./stats_report";

/** Everything that is known about one attempt to connect. */
export interface Facts {
  readonly policy: "all" | "relay";
  /** The STUN and TURN servers that this page was given. */
  readonly servers: readonly ServerNote[];
  /** This browser's candidates. */
  readonly local: readonly Candidate[];
  /** The kernel's candidates. */
  readonly remote: readonly Candidate[];
  readonly problems: readonly ConnectionProblem[];
  /** The pairs that the browser tried. */
  readonly pairs: readonly CandidatePair[];
}

/** How many of the kernel's addresses one sentence names. */
const MAX_NAMED = 3;

const NO_ROUTE: Problem = {
  problem: "the kernel answered, but no video connection came up",
  expected: "a UDP route between this browser and the kernel; a firewall or NAT seems to block it",
  fix: "set GPUVIEW_PUBLIC_IP to the address where the kernel's UDP port can be reached, or GPUVIEW_TURN_URL to a TURN server",
};

/** Asked in this order, the most certain first. */
const CAUSES: readonly ((facts: Facts) => Problem | null)[] = [
  noEncryption,
  noLocalAddress,
  noLocalRelay,
  noRemoteAddress,
  failedRemoteServer,
  onlyPrivateRemote,
  unknownToRemoteRelay,
  silenceAtLocalRelay,
  otherFamily,
  noUdp,
  closedPort,
  closedRemoteRelay,
  noTurnServer,
];

/** Returns the most likely cause and its fix. */
export function diagnose(facts: Facts): Problem {
  for (const cause of CAUSES) {
    const problem = cause(facts);
    if (problem !== null) return problem;
  }
  return NO_ROUTE;
}

function noEncryption({ pairs }: Facts): Problem | null {
  if (!pairs.some(({ responses }) => (responses ?? 0) > 0)) return null;
  return {
    problem: "the kernel was reached, but no encrypted connection to it came up",
    expected: "a route that carries UDP packets of 1200 bytes, both ways and all the time",
    fix: "try again; if that does not help, set GPUVIEW_TURN_URL to a TURN server",
  };
}

function noLocalAddress({ policy, local }: Facts): Problem | null {
  // With relays only, the cause is that no server gave one.
  if (policy === "relay" || local.length > 0) return null;
  return {
    problem: "this browser found no address of its own to connect from",
    expected: "a network, and a browser that lets this page use it",
    fix: "check this machine's network, and allow WebRTC in the browser's settings and extensions",
  };
}

function noLocalRelay({ policy, local, problems }: Facts): Problem | null {
  if (has(local, "relay")) return null;
  const problem = problems.find(({ source }) => source === "turn");
  if (problem !== undefined) return because(problem);
  if (policy !== "relay") return null;
  return {
    problem: "this page may connect only through a TURN server, and no server gave it a relay",
    expected: "a TURN server that this browser can reach, as GPUVIEW_ICE_TRANSPORT_POLICY is relay",
    fix: "set GPUVIEW_TURN_URL to a TURN server, or GPUVIEW_ICE_TRANSPORT_POLICY to all",
  };
}

function noRemoteAddress({ remote, problems }: Facts): Problem | null {
  if (remote.length > 0) return null;
  const problem = problems.find(({ source }) => source === "kernel");
  if (problem !== undefined) return because(problem);
  return {
    problem: "the kernel offers no address where it can be reached",
    expected: "an address of its own, or of its relay",
    fix: "run gpuview doctor on the kernel's machine",
  };
}

function failedRemoteServer({ remote, problems }: Facts): Problem | null {
  const problem = problems.find(({ source }) => source === "kernel");
  // If it has an address that can be reached from outside, it does not need its servers.
  return problem === undefined || !areAllPrivate(remote) ? null : because(problem);
}

function onlyPrivateRemote({ local, remote }: Facts): Problem | null {
  if (!areAllPrivate(remote)) return null;
  const is_near = local.some((one) => remote.some((it) => areNeighbours(one.address, it.address)));
  if (is_near) return closed(remote);
  const addresses = named(remote.map(({ address }) => address));
  return {
    problem: `the kernel offers only private addresses (${addresses}), which this browser cannot reach`,
    expected: "an address of the kernel that can be reached from outside its network",
    fix: `set GPUVIEW_PUBLIC_IP to that address${has(local, "relay") ? "" : ", or GPUVIEW_TURN_URL to a TURN server"}`,
  };
}

/** A TURN server admits only peers that its client has named, and the kernel knows none of ours. */
function unknownToRemoteRelay({ local, remote }: Facts): Problem | null {
  if (!publicOnes(remote).every(({ type }) => type === "relay")) return null;
  if (local.some(isForKernel)) return null;
  return {
    problem:
      "the kernel can be reached only through its TURN server, which does not know this browser",
    expected: "an address of this browser that a STUN server told it, or a relay of its own",
    fix: "set GPUVIEW_STUN_URL or GPUVIEW_TURN_URL to a server that this browser can reach",
  };
}

function silenceAtLocalRelay({ local }: Facts): Problem | null {
  if (!has(local, "relay")) return null;
  return {
    problem:
      "this browser has a relay at its TURN server, but nothing arrived there from the kernel",
    expected: "UDP between the kernel's machine and the relay, or a relay of the kernel's own",
    fix: "open UDP from the kernel's machine, or give it TURN over TCP in GPUVIEW_KERNEL_ICE_SERVERS",
  };
}

/** A browser pairs no addresses of a family of which it has none. */
function otherFamily({ remote, pairs }: Facts): Problem | null {
  const addresses = publicOnes(remote).map(({ address }) => address);
  const tried = pairs.map((pair) => pair.remote.address).filter((address) => address !== "");
  const [family, ...others] = new Set(addresses.map(familyOf));
  if (family === undefined || others.length > 0 || tried.length === 0) return null;
  if (tried.some((address) => familyOf(address) === family)) return null;
  return {
    problem: `outside its network the kernel has only ${named(addresses)}, and this browser has no ${family}`,
    expected: "an address family that both sides have",
    fix: "set GPUVIEW_PUBLIC_IP to an IPv4 and an IPv6 address, or GPUVIEW_TURN_URL to a TURN server that has both",
  };
}

function noUdp({ local, problems }: Facts): Problem | null {
  const is_stun_silent = problems.some(({ source }) => source === "stun");
  const is_inside = local.every(
    ({ type, address }) => type === "host" && (isPrivate(address) || isHidden(address)),
  );
  if (!is_stun_silent || !is_inside) return null;
  return {
    problem:
      "neither the kernel nor a STUN server has replied: this browser's network seems to block UDP",
    expected: "UDP between this browser and the kernel, or a TURN server that takes TCP",
    fix: "set GPUVIEW_TURN_URL to a TURN server with ?transport=tcp, or to a turns: URL",
  };
}

/** The kernel was told its public address, so somebody should forward its port. */
function closedPort({ remote }: Facts): Problem | null {
  const hosts = publicOnes(remote).filter(({ type }) => type === "host");
  return hosts.length > 0 ? closed(hosts) : null;
}

function closed(remote: readonly Candidate[]): Problem {
  const ports = named(remote.map(({ port }) => String(port)));
  return {
    problem: `no reply came from ${endpoints(remote)}`,
    expected: "this address and UDP port to lead to the kernel's machine, through every firewall",
    fix: `forward UDP port ${ports} to the kernel's machine and open it there, or set GPUVIEW_TURN_URL to a TURN server`,
  };
}

function closedRemoteRelay({ remote }: Facts): Problem | null {
  const relays = remote.filter(({ type }) => type === "relay");
  if (relays.length === 0) return null;
  return {
    problem: `no reply came from the kernel's relay at ${endpoints(relays)}`,
    expected: "UDP between this browser and the relay's port",
    fix: "open the TURN server's relay ports to this browser, or set GPUVIEW_TURN_URL so that it has a relay, too",
  };
}

function noTurnServer({ servers }: Facts): Problem | null {
  if (servers.some(({ url }) => isTurn(url))) return null;
  return {
    problem: "no direct route was found, and there is no TURN server to relay",
    expected: "NATs and firewalls that let the two sides reach each other, or a TURN server",
    fix: "set GPUVIEW_TURN_URL to a TURN server, or forward the kernel's UDP port and set GPUVIEW_PUBLIC_IP",
  };
}

function because({ problem, expected, fix }: Problem): Problem {
  return { problem: `no video connection came up: ${problem}`, expected, fix };
}

function publicOnes(candidates: readonly Candidate[]): readonly Candidate[] {
  return candidates.filter(({ address }) => !isPrivate(address));
}

function areAllPrivate(candidates: readonly Candidate[]): boolean {
  return publicOnes(candidates).length === 0;
}

function has(candidates: readonly Candidate[], wanted: string): boolean {
  return candidates.some(({ type }) => type === wanted);
}

function endpoints(candidates: readonly Candidate[]): string {
  return named(candidates.map(({ address, port }) => endpoint(address, port)));
}

function named(names: readonly string[]): string {
  const unique = [...new Set(names)];
  const rest = unique.length - MAX_NAMED;
  return unique.slice(0, MAX_NAMED).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}
