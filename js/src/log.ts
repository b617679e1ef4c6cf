// The log of a connection, for the browser's console and the kernel's log.

export type Log = (line: string) => void;

export const NO_LOG: Log = () => undefined;

/** The kernel reads at most 4096 characters of a message. */
const MAX_CHARS = 4000;

/** Returns a log that writes to the console and, through `send`, to the kernel. */
export function startLog(view: string, send: (text: string) => void): Log {
  return (line) => {
    console.debug("gpuview", view, line);
    for (const piece of pieces(line)) send(piece);
  };
}

/** Logs every change of the connection's states. */
export function logStates(connection: RTCPeerConnection, log: Log, stop: AbortSignal): void {
  const follow = (event: string, read: () => string) =>
    connection.addEventListener(event, () => log(read()), { signal: stop });
  follow("connectionstatechange", () => `connection: ${connection.connectionState}`);
  follow("iceconnectionstatechange", () => `ICE: ${connection.iceConnectionState}`);
  follow("icegatheringstatechange", () => `gathering: ${connection.iceGatheringState}`);
  follow("signalingstatechange", () => `signalling: ${connection.signalingState}`);
}

/** Removes from an SDP what would let others into the connection. */
export function redact(sdp: string): string {
  return sdp
    .replace(/(a=ice-(?:ufrag|pwd):).*/g, "$1...")
    .replace(/(a=fingerprint:\S+ ).*/g, "$1...")
    .replace(/( ufrag )\S+/g, "$1...");
}

/** Splits a long text between lines; truncates a line that is too long by itself. */
export function pieces(text: string): readonly string[] {
  const cut: string[] = [];
  for (const line of text.split(/\r?\n/).map((each) => each.slice(0, MAX_CHARS))) {
    const last = cut.at(-1);
    if (last !== undefined && last.length + 1 + line.length <= MAX_CHARS) {
      cut[cut.length - 1] = `${last}\n${line}`;
    } else {
      cut.push(line);
    }
  }
  return cut;
}
