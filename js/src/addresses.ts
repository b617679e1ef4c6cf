// Addresses of candidates: IPv4, IPv6, or a `.local` name behind which a browser hides one. Pure.

import { PRIVATE_RANGES } from "./private_ranges";

/** Whether this is an mDNS name, which only the browser's own network can resolve. */
export function isHidden(address: string): boolean {
  return address.toLowerCase().endsWith(".local");
}

/** Whether the internet does not route to this address. */
export function isPrivate(address: string): boolean {
  const bits = bitsOf(address);
  return PRIVATE_PREFIXES.some((prefix) => bits.startsWith(prefix));
}

/** Whether two IPv4 addresses differ in their last number only. */
export function areNeighbours(one: string, other: string): boolean {
  const network = one.replace(/\.\d+$/, ".");
  return network !== one && other.startsWith(network);
}

export function familyOf(address: string): "IPv4" | "IPv6" {
  return address.includes(":") ? "IPv6" : "IPv4";
}

/** Returns `203.0.113.9:5000` or `[2001:db8::9]:5000`. */
export function endpoint(address: string, port: number): string {
  return familyOf(address) === "IPv6" ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Returns an endpoint for a person to read: only the start of a hidden name's 40 characters. */
export function shortEndpoint(address: string, port: number): string {
  if (address === "") return `hidden:${port}`;
  return endpoint(isHidden(address) ? `${address.slice(0, 8)}….local` : address, port);
}

const PRIVATE_PREFIXES = PRIVATE_RANGES.map((range) => {
  const [address = "", length = ""] = range.split("/");
  const skipped = familyOf(address) === "IPv4" ? 96 : 0;
  return bitsOf(address).slice(0, skipped + Number(length));
});

/** Returns the 128 bits of an address, of IPv4 as IPv4-mapped IPv6; nothing of any other text. */
function bitsOf(address: string): string {
  if (/^[\d.]+$/.test(address)) return bitsOf(`::ffff:${address}`);
  const plain = address.replace(/%.*/, "").replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, asGroups);
  if (!/^[\da-f:]*:[\da-f:]*$/i.test(plain)) return "";
  const [head = [], tail = []] = plain.split("::").map((half) => half.split(":").filter(Boolean));
  const zeros = Array<string>(Math.max(0, 8 - head.length - tail.length)).fill("0");
  return [...head, ...zeros, ...tail]
    .map((group) => parseInt(group, 16).toString(2).padStart(16, "0"))
    .join("");
}

/** Returns the last 32 bits of an address as IPv6 has them. */
function asGroups(_: string, ...bytes: readonly string[]): string {
  const [a = 0, b = 0, c = 0, d = 0] = bytes.map(Number);
  return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
}
