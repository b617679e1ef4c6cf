// Which carriers besides WebRTC are open when, decided purely. All times are on the page's clock.
//
// WebRTC gets a head start. The first carrier to show a frame is shown; a better one that shows a
// frame takes over, and the worse one is closed.

/** The better one first. */
export const FALLBACKS = ["socket", "comm"] as const;
export type Fallback = (typeof FALLBACKS)[number];
export type Carrier = "webrtc" | Fallback;

/** How one fallback stands. */
export interface Lane {
  readonly state: "closed" | "opening" | "waiting" | "showing";
  /** Since when. */
  readonly since_ms: number;
  /** How often in a row it ended without a picture, or lost one. */
  readonly failures: number;
  /** When it may be opened again. */
  readonly opens_at_ms: number;
}

/** How WebRTC stands. */
export type Favourite =
  | { readonly state: "showing" }
  /** It is not due to show a frame: the stream has none, or nobody looks. */
  | { readonly state: "idle" }
  /** It may not be used, or has given up. */
  | { readonly state: "failed"; readonly since_ms: number }
  /** It should show a frame by now, or soon. */
  | { readonly state: "trying"; readonly since_ms: number };

/** Returns how WebRTC stands now; it misses a frame since it last showed one, or did not need to. */
export function favourite(before: Favourite, state: Favourite["state"], now_ms: number): Favourite {
  if (state === "showing" || state === "idle") return { state };
  return { state, since_ms: "since_ms" in before ? before.since_ms : now_ms };
}

export interface Race {
  readonly favourite: Favourite;
  /** Null if it cannot be used here. */
  readonly lanes: Readonly<Record<Fallback, Lane | null>>;
  /** What showed the picture the last time. */
  readonly remembered: Carrier | null;
}

export interface Decision {
  /** The fallbacks that are to be open now. */
  readonly open: ReadonlySet<Fallback>;
  /** When to decide again if nothing happens; null: never. */
  readonly wake_ms: number | null;
}

/** What the better carrier is given before the next one starts beside it. */
export const HEAD_START_MS = 1000;

const NEVER_MS = Infinity;
const STAYS_MS = -Infinity;

export const CLOSED: Lane = { state: "closed", since_ms: 0, failures: 0, opens_at_ms: 0 };

export function decide(race: Race, now_ms: number): Decision {
  if (race.favourite.state === "showing") return { open: new Set(), wake_ms: null };
  const begins_ms = beginOf(race);
  const times = { socket: socketTime(race, begins_ms), comm: commTime(race, begins_ms) };
  const open = FALLBACKS.filter((each) => times[each] <= now_ms);
  const later = Object.values(times).filter((time) => time > now_ms && time < NEVER_MS);
  return { open: new Set(open), wake_ms: later.length === 0 ? null : Math.min(...later) };
}

/** Returns the fallback whose picture is the one to show, if WebRTC shows none. */
export function shownOf({ lanes }: Race): Fallback | null {
  return FALLBACKS.find((each) => lanes[each]?.state === "showing") ?? null;
}

/** Whether a fallback may still bring the first picture: then WebRTC's failure is no news. */
export function isHopeful({ lanes }: Race): boolean {
  return FALLBACKS.some((each) => lanes[each]?.failures === 0);
}

/** Returns a lane that was closed, by us or not; it had failed if `has_failed`. */
export function close(lane: Lane, now_ms: number, has_failed: boolean): Lane {
  const failures = has_failed ? lane.failures + 1 : 0;
  return {
    state: "closed",
    since_ms: now_ms,
    failures,
    opens_at_ms: now_ms + backoff_ms(failures),
  };
}

/** Returns a lane that has come so far. */
export function advance(
  lane: Lane,
  state: "opening" | "waiting" | "showing",
  now_ms: number,
): Lane {
  const failures = state === "showing" ? 0 : lane.failures;
  return { ...lane, state, since_ms: now_ms, failures };
}

/** The pause before the next attempt after so many failures: 0, 1, 2, 4, 8, 16, 30, 30, ... s. */
export function backoff_ms(failures: number): number {
  return failures <= 1 ? 0 : Math.min(30_000, 1000 * 2 ** (failures - 2));
}

function beginOf({ favourite, remembered }: Race): number {
  switch (favourite.state) {
    case "showing":
    case "idle":
      return NEVER_MS;
    case "failed":
      return favourite.since_ms;
    case "trying": {
      const has_head_start = remembered === null || remembered === "webrtc";
      return favourite.since_ms + (has_head_start ? HEAD_START_MS : 0);
    }
  }
}

function socketTime({ lanes: { socket } }: Race, begins_ms: number): number {
  if (socket === null) return NEVER_MS;
  return socket.state === "closed" ? Math.max(begins_ms, socket.opens_at_ms) : STAYS_MS;
}

function commTime({ lanes: { socket, comm }, remembered }: Race, begins_ms: number): number {
  if (comm === null || socket?.state === "showing") return NEVER_MS;
  if (comm.state !== "closed") return STAYS_MS;
  const waits = socket !== null && remembered !== "comm";
  return Math.max(waits ? patience(socket, begins_ms) : begins_ms, comm.opens_at_ms);
}

/** Until when the socket is given the time to show a picture. */
function patience(socket: Lane, begins_ms: number): number {
  const begun_ms = Math.max(begins_ms, socket.since_ms);
  const is_shut = socket.state === "closed" && socket.opens_at_ms > begun_ms;
  return is_shut ? begun_ms : begun_ms + HEAD_START_MS;
}
