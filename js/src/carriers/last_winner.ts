// Remembers for this origin which carrier showed the picture the last time.

import type { Carrier } from "./carrier_policy";

const KEY = "gpuview-carrier";
const CARRIERS: readonly Carrier[] = ["webrtc", "socket", "comm"];

/** Returns null if nothing is known, or the browser does not let this page remember. */
export function recall(): Carrier | null {
  try {
    const found = localStorage.getItem(KEY);
    return CARRIERS.find((carrier) => carrier === found) ?? null;
  } catch {
    return null;
  }
}

export function remember(carrier: Carrier): void {
  try {
    localStorage.setItem(KEY, carrier);
  } catch {
    // A page that may not store anything, or no room: the next view begins as this one did.
  }
}
