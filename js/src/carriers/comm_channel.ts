// A channel through the kernel: a tunnel of custom messages over the widget's comm.

import type { KernelMessage } from "../messages";
import { listen, type Model } from "../model";
import type { Channel, ChannelListener, OpenChannel } from "./channel";

/** Returns how the tunnel of one view is opened. */
export function commOpener(model: Model, view: string): OpenChannel {
  return (listener, stop) => openTunnel(model, view, listener, stop);
}

function openTunnel(
  model: Model,
  view: string,
  listener: ChannelListener,
  stop: AbortSignal,
): Channel {
  const ended = new AbortController();
  const over = AbortSignal.any([stop, ended.signal]);
  const end = () => {
    if (over.aborted) return;
    ended.abort();
    listener.onClosed(null);
  };
  const read = (content: unknown, buffers: readonly BufferSource[]) => {
    const message = content as KernelMessage; // From our own kernel half.
    if (message.type === "CarrierClosed" && message.view === view) end();
    if (message.type !== "CarrierData" || message.view !== view) return;
    const [buffer] = buffers;
    if (message.text !== "") listener.onText(message.text);
    else if (buffer !== undefined) listener.onBinary(bytesOf(buffer));
  };
  const send: Model["send"] = (message) => {
    try {
      model.send(message);
    } catch {
      end(); // The kernel was shut down.
    }
  };
  listen(model, "msg:custom", read, over);
  stop.addEventListener("abort", () => {
    if (!ended.signal.aborted) send({ type: "CarrierClose", view });
  });
  // Nothing says that the tunnel is there, but messages keep their order.
  queueMicrotask(() => {
    if (over.aborted) return;
    send({ type: "CarrierOpen", view });
    listener.onOpen();
  });
  return {
    send: (message) => {
      if (!over.aborted) send({ type: "CarrierText", view, text: JSON.stringify(message) });
    },
  };
}

/** Front ends give buffers of either kind. */
function bytesOf(buffer: BufferSource): Uint8Array<ArrayBuffer> {
  if (buffer instanceof ArrayBuffer) return new Uint8Array(buffer);
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}
