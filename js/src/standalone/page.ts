// The page that shows one stream and nothing else; `gpuview.server.view_page` serves it.

import { SocketOpener } from "../carriers/socket_channel";
import { RemoteModel } from "./remote_model";
import { listen } from "../model";
import { View } from "../view";

const NOT_FOUND = 404;

/** Shows the stream that the page is about, until `stop` is aborted. */
export function show(page: Document, stop: AbortSignal): void {
  const { baseUrl = "/", place = "" } = page.body.dataset;
  const url = new URL(`${baseUrl}gpuview/socket/${place}`, page.baseURI);
  url.protocol = url.protocol.replace("http", "ws");
  const model = new RemoteModel(url.href, () => isGone(page.location.href), stop);
  const kernel = new AbortController();
  listen(model, "comm_live_update", () => kernel.abort(), stop);
  const root = page.createElement("main");
  page.body.append(root);
  const view = new View(model, root, new SocketOpener(url.href), kernel);
  stop.addEventListener("abort", () => view.close(), { once: true });
}

/** Whether the server that served this page knows its kernel no longer. */
async function isGone(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { cache: "no-store" })).status === NOT_FOUND;
  } catch {
    return false; // The server does not answer, and may come back.
  }
}
