// Where the Jupyter server behind this page is, as its front ends say. Pure but for the document.

import type { Model } from "../model";

/** What the kernel says of where its streams are found. */
export interface Place {
  /** Kernel and stream; empty where no server can find them. */
  readonly path: string;
  /** Whether the server that started the kernel has the extension. */
  readonly has_extension: boolean;
}

interface JupyterConfig {
  /** JupyterLab and Notebook 7 have one, and take over what the server's extensions say. */
  readonly appName?: unknown;
  /** The extension of the Jupyter server says true. */
  readonly gpuview?: unknown;
  readonly baseUrl?: unknown;
  readonly wsUrl?: unknown;
  readonly token?: unknown;
}

/**
 * Returns the URL of a stream's WebSocket; null if this page belongs to no Jupyter server, or to one
 * without the extension, as far as the page can say.
 */
export function socketUrl(place: Place, page: Document): string | null {
  const config = readConfig(page);
  const base = baseOf(config, place, page);
  if (base === "") return null;
  const here = new URL(page.baseURI);
  try {
    const url = new URL(
      `${withSlash(textOf(config.wsUrl) || base)}gpuview/socket/${place.path}`,
      here,
    );
    url.protocol = url.protocol.replace(/^http/, "ws");
    // As JupyterLab does: a server on the page's own host knows the page by its cookie.
    const token = textOf(config.token);
    if (url.host !== here.host && token !== "") url.searchParams.set("token", token);
    return /^wss?:$/.test(url.protocol) ? url.href : null;
  } catch {
    return null; // No URL.
  }
}

/** Returns the URL of the page that shows a stream alone; null if there can be none. */
export function viewUrl(place: Place, page: Document): string | null {
  const base = baseOf(readConfig(page), place, page);
  if (base === "") return null;
  try {
    return new URL(`${withSlash(base)}gpuview/view/${place.path}`, page.baseURI).href;
  } catch {
    return null; // No URL.
  }
}

export function placeOf(model: Model): Place {
  return { path: model.get("place"), has_extension: model.get("has_server_extension") };
}

/**
 * Returns where the extension is on the server; empty if it is not there. To ask for it would write
 * an error into the browser's console.
 */
function baseOf(config: JupyterConfig, place: Place, page: Document): string {
  // JupyterLab may know a server that did not start the kernel.
  const says_itself = config.appName !== undefined;
  const has_extension = says_itself ? config.gpuview === true : place.has_extension;
  if (place.path === "" || !has_extension) return "";
  // JupyterLab, Notebook and Voila have a configuration in the page; nbclassic an attribute.
  return textOf(config.baseUrl) || (page.body.dataset["baseUrl"] ?? "");
}

function readConfig(page: Document): JupyterConfig {
  try {
    return JSON.parse(page.getElementById("jupyter-config-data")?.textContent ?? "") ?? {};
  } catch {
    return {};
  }
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function withSlash(url: string): string {
  return url.endsWith("/") ? url : `${url}/`;
}
