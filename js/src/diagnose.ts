// Why a connection did not come up, as far as this page can know. Pure.

import { areNeighbours, endpoint, familyOf, isHidden, isPrivate } from "./addresses";
import { isForKernel, type Candidate } from "./candidate";
import type { Pair } from "./report";
import { isTurn, type ServerNote } from "./servers";
import { told, type Trouble, type Words } from "./words";

/** All that is known of one attempt. */
export interface Facts {
  readonly policy: "all" | "relay";
  /** That this page was given. */
  readonly servers: readonly ServerNote[];
  /** What this browser has gathered. */
  readonly own: readonly Candidate[];
  /** What the kernel has shown. */
  readonly kernels: readonly Candidate[];
  readonly troubles: readonly Trouble[];
  /** What was tried. */
  readonly pairs: readonly Pair[];
}

/** So many of the kernel's addresses are named in one sentence. */
const MAX_NAMED = 3;

const NO_ROUTE: Words = {
  problem: "the kernel answered, but no video connection came up",
  expected: "a UDP route between this browser and the kernel; a firewall or NAT seems to block it",
  fix: "set GPUVIEW_PUBLIC_IP to the address where the kernel's UDP port can be reached, or GPUVIEW_TURN_URL to a TURN server",
};

/** In the order in which they are asked: what is certain first. */
const CASES: readonly ((facts: Facts) => Words | null)[] = [
  noEncryption,
  noAddressHere,
  noRelayHere,
  noAddressThere,
  brokenServerThere,
  onlyPrivateThere,
  strangerToRelay,
  silenceBehindRelay,
  otherFamilyThere,
  noUdpHere,
  closedPort,
  closedRelay,
  nobodyBetween,
];

/** Returns the most likely reason, and its mend. */
export function diagnose(facts: Facts): Words {
  for (const explain of CASES) {
    const words = explain(facts);
    if (words !== null) return words;
  }
  return NO_ROUTE;
}

function noEncryption({ pairs }: Facts): Words | null {
  if (!pairs.some(({ responses }) => (responses ?? 0) > 0)) return null;
  return {
    problem: "the kernel was reached, but no encrypted connection to it came up",
    expected: "a route that carries UDP packets of 1200 bytes, both ways and all the time",
    fix: "try again; if that does not help, set GPUVIEW_TURN_URL to a TURN server",
  };
}

/** With relays only, it is the servers that have given none. */
function noAddressHere({ policy, own }: Facts): Words | null {
  if (policy === "relay" || own.length > 0) return null;
  return {
    problem: "this browser has found no address of its own from which it could connect",
    expected: "a network, and a browser that lets this page use it",
    fix: "look at this machine's network, and allow WebRTC in the browser's settings and extensions",
  };
}

function noRelayHere(facts: Facts): Words | null {
  if (has(facts.own, "relay")) return null;
  const trouble = facts.troubles.find(({ kind }) => kind === "turn");
  if (trouble !== undefined) return because(trouble);
  if (facts.policy !== "relay") return null;
  return {
    problem: "this page may connect through a TURN server only, and none has given it a relay",
    expected: "a TURN server that this browser can reach, as GPUVIEW_ICE_TRANSPORT_POLICY is relay",
    fix: "set GPUVIEW_TURN_URL to a TURN server, or GPUVIEW_ICE_TRANSPORT_POLICY to all",
  };
}

function noAddressThere({ kernels, troubles }: Facts): Words | null {
  if (kernels.length > 0) return null;
  const trouble = troubles.find(({ kind }) => kind === "kernel");
  if (trouble !== undefined) return because(trouble);
  return {
    problem: "the kernel has shown no address where it could be reached",
    expected: "an address of its own, or of its relay",
    fix: "run gpuview doctor on the kernel's machine",
  };
}

function brokenServerThere({ kernels, troubles }: Facts): Words | null {
  const trouble = troubles.find(({ kind }) => kind === "kernel");
  // With an address that can be reached from outside, its servers are not what is missing.
  if (trouble === undefined || !areAllPrivate(kernels)) return null;
  return because(trouble);
}

function onlyPrivateThere({ own, kernels }: Facts): Words | null {
  if (!areAllPrivate(kernels)) return null;
  const is_near = own.some((one) => kernels.some((it) => areNeighbours(one.address, it.address)));
  if (is_near) return closed(kernels);
  const names = named(kernels.map(({ address }) => address));
  return {
    problem: `the kernel shows private addresses only (${names}), and this browser does not reach them`,
    expected: "an address of the kernel that can be reached from outside its network",
    fix: `set GPUVIEW_PUBLIC_IP to that address${has(own, "relay") ? "" : ", or GPUVIEW_TURN_URL to a TURN server"}`,
  };
}

/** A TURN server lets in only whom its client has named, and this page has no address to name. */
function strangerToRelay({ own, kernels }: Facts): Words | null {
  const open = kernels.filter(({ address }) => !isPrivate(address));
  if (!open.every(({ type }) => type === "relay") || own.some(isForKernel)) return null;
  return {
    problem:
      "the kernel can be reached through its TURN server only, which does not know this browser",
    expected: "an address of this browser, as a STUN server tells it, or a relay of its own",
    fix: "set GPUVIEW_STUN_URL or GPUVIEW_TURN_URL to a server that this browser can reach",
  };
}

function silenceBehindRelay({ own }: Facts): Words | null {
  if (!has(own, "relay")) return null;
  return {
    problem: "this browser has a relay at its TURN server, but nothing came to it from the kernel",
    expected: "UDP between the kernel's machine and the relay, or a relay of the kernel's own",
    fix: "open UDP from the kernel's machine, or give it TURN over TCP in GPUVIEW_KERNEL_ICE_SERVERS",
  };
}

/** A browser makes no pairs with addresses of a family that it has none of itself. */
function otherFamilyThere({ kernels, pairs }: Facts): Words | null {
  const open = kernels.filter(({ address }) => !isPrivate(address));
  const tried = pairs.map(({ remote }) => remote.address).filter((address) => address !== "");
  const [first] = open;
  if (first === undefined || tried.length === 0) return null;
  if (open.some(({ address }) => familyOf(address) !== familyOf(first.address))) return null;
  const family = familyOf(first.address);
  if (tried.some((address) => familyOf(address) === family)) return null;
  return {
    problem: `outside its network the kernel has only ${named(open.map(({ address }) => address))}, and this browser has no ${family}`,
    expected: "an address of a kind that both sides have",
    fix: "set GPUVIEW_PUBLIC_IP to an IPv4 and an IPv6 address, or GPUVIEW_TURN_URL to a TURN server that has both",
  };
}

function noUdpHere({ own, troubles }: Facts): Words | null {
  const is_unheard = troubles.some(({ kind }) => kind === "stun");
  if (!is_unheard || !own.every(isUnseenOutside)) return null;
  return {
    problem:
      "neither the kernel nor a STUN server has replied: this browser's network seems to let no UDP out",
    expected: "UDP between this browser and the kernel, or a TURN server that takes TCP",
    fix: "set GPUVIEW_TURN_URL to a TURN server with ?transport=tcp, or to a turns: URL",
  };
}

/** A public address that the kernel was told to show: somebody is to forward its port. */
function closedPort({ kernels }: Facts): Words | null {
  const open = kernels.filter(({ type, address }) => type === "host" && !isPrivate(address));
  return open.length > 0 ? closed(open) : null;
}

function closed(kernels: readonly Candidate[]): Words {
  const ports = named(kernels.map(({ port }) => String(port)));
  return {
    problem: `no reply came from ${endpoints(kernels)}`,
    expected: "this address and UDP port to lead to the kernel's machine, through every firewall",
    fix: `forward UDP port ${ports} to the kernel's machine and open it there, or set GPUVIEW_TURN_URL to a TURN server`,
  };
}

function closedRelay({ kernels }: Facts): Words | null {
  const relays = kernels.filter(({ type }) => type === "relay");
  if (relays.length === 0) return null;
  return {
    problem: `no reply came from the kernel's relay at ${endpoints(relays)}`,
    expected: "UDP between this browser and the relay's port",
    fix: "open the TURN server's relay ports to this browser, or set GPUVIEW_TURN_URL so that it has a relay, too",
  };
}

function nobodyBetween({ servers }: Facts): Words | null {
  if (servers.some(({ url }) => isTurn(url))) return null;
  return {
    problem: "no direct route was found, and there is no server in between",
    expected: "NATs and firewalls that let the two sides reach each other, or a TURN server",
    fix: "set GPUVIEW_TURN_URL to a TURN server, or forward the kernel's UDP port and set GPUVIEW_PUBLIC_IP",
  };
}

function isUnseenOutside({ type, address }: Candidate): boolean {
  return type === "host" && (isPrivate(address) || isHidden(address));
}

function areAllPrivate(candidates: readonly Candidate[]): boolean {
  return candidates.every(({ address }) => isPrivate(address));
}

function because(trouble: Trouble): Words {
  const words = told(trouble);
  return { ...words, problem: `no video connection came up: ${words.problem}` };
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
