// A channel over a WebSocket of the jupyter-server extension.

import type { Channel, ChannelListener, OpenChannel, SentMessage } from "./channel";
import { closing_ms, closingProblem } from "./close_codes";

/** Opens one stream's WebSocket. A server that refuses is seldom asked. */
export class SocketOpener {
  readonly #url: string;
  #failures = 0;
  #closed_until_ms = 0;

  constructor(url: string) {
    this.#url = url;
  }

  /** From when on it is worth trying, on the page's clock. */
  get opens_at_ms(): number {
    return this.#closed_until_ms;
  }

  readonly open: OpenChannel = (listener, stop) => {
    let has_opened = false;
    const onOpen = () => {
      has_opened = true;
      this.#failures = 0;
      this.#closed_until_ms = 0;
      listener.onOpen();
    };
    const onClosed = ({ code, reason }: CloseEvent) => {
      this.#shut(has_opened ? closing_ms(code) : refusal_ms(this.#failures++));
      listener.onClosed(closingProblem(code, reason));
    };
    return openSocket(this.#url, { ...listener, onOpen, onClosed }, stop);
  };

  #shut(duration_ms: number): void {
    this.#closed_until_ms = performance.now() + duration_ms;
  }
}

/** How long to leave a server alone that has refused so many times before. */
export function refusal_ms(refusals: number): number {
  // The first wait is for a media process that has only just started.
  return [1000, 5000, 60_000][refusals] ?? 300_000;
}

interface SocketListener extends Omit<ChannelListener, "onClosed"> {
  readonly onClosed: (event: CloseEvent) => void;
}

function openSocket(url: string, listener: SocketListener, stop: AbortSignal): Channel {
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  const on = { signal: stop };
  socket.addEventListener("open", listener.onOpen, on);
  socket.addEventListener("close", listener.onClosed, on);
  const read = ({ data }: MessageEvent<ArrayBuffer | string>) => {
    if (typeof data === "string") listener.onText(data);
    else listener.onBinary(new Uint8Array(data));
  };
  socket.addEventListener("message", read, on);
  stop.addEventListener("abort", () => closeQuietly(socket), { once: true });
  return {
    send: (message: SentMessage) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
    },
  };
}

/** Browsers write an error to the console when a socket is closed before it is open. */
function closeQuietly(socket: WebSocket): void {
  if (socket.readyState !== WebSocket.CONNECTING) return socket.close();
  socket.addEventListener("open", () => socket.close(), { once: true });
}
