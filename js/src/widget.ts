// The widget as anywidget loads it: `initialize` for each model, then `render` for each output.

import { placeOf, socketUrl } from "./carriers/server_url";
import { SocketOpener } from "./carriers/socket_channel";
import { keepsViews, listen, type Model } from "./model";
import { LatestRemoved } from "./removed_output";
import { View } from "./view";

type CleanUp = () => void;

interface Widget {
  initialize(props: { model: Model }): CleanUp;
  render(props: { model: Model; el: HTMLElement }): CleanUp;
}

/** anywidget calls this for each model; the model's views share what is created here. */
export default function widget(): Widget {
  // A view that is opened after the kernel is gone must know it, too.
  const kernel = new AbortController();
  const removed = new LatestRemoved();
  // The one that `render` gets loses its listeners with the output, and a view may outlive that.
  let lasting: Model | null = null;
  // Shared, so that a server without the extension is not asked by each view.
  let socket: SocketOpener | null = null;
  return {
    initialize({ model }) {
      lasting = model;
      socket = socketOpener(model);
      const stop = new AbortController();
      listen(model, "comm_live_update", () => kernel.abort(), stop.signal);
      if (keepsViews()) model.send({ type: "KeepsViews" });
      return () => {
        stop.abort();
        removed.close();
      };
    },
    render({ model, el }) {
      const view = removed.moveTo(el) ?? new View(lasting ?? model, el, socket, kernel);
      return () => removed.keep(view);
    },
  };
}

function socketOpener(model: Model): SocketOpener | null {
  const url = model.get("carriers").includes("socket") ? socketUrl(placeOf(model), document) : null;
  return url === null ? null : new SocketOpener(url);
}
