// @vitest-environment happy-dom
import { expect, test } from "vitest";

import { socketUrl, viewUrl } from "../../src/carriers/server_url";

const PATH = "0f1e2d-kernel/stream-1";
const PLACE = { path: PATH, has_extension: true };
const NOWHERE = { path: "", has_extension: true };
const UNKNOWN = { path: PATH, has_extension: false };

/** A page at https://hub.example/user/alice/lab, with what its front end put into it. */
function page(config: object | string | null, base_url?: string): Document {
  const made = document.implementation.createHTMLDocument();
  const base = made.createElement("base");
  base.href = "https://hub.example/user/alice/lab";
  made.head.append(base);
  Object.defineProperty(made, "baseURI", { value: base.href });
  if (base_url !== undefined) made.body.dataset["baseUrl"] = base_url;
  if (config === null) return made;
  const script = made.createElement("script");
  script.id = "jupyter-config-data";
  script.type = "application/json";
  script.textContent = typeof config === "string" ? config : JSON.stringify(config);
  made.head.append(script);
  return made;
}

test.each([
  [{ baseUrl: "/user/alice/" }, "wss://hub.example/user/alice/gpuview/socket/"],
  [{ baseUrl: "/user/alice" }, "wss://hub.example/user/alice/gpuview/socket/"],
  [{ baseUrl: "http://127.0.0.1:8888/" }, "ws://127.0.0.1:8888/gpuview/socket/"],
  [{ baseUrl: "/", wsUrl: "wss://sockets.example/a/" }, "wss://sockets.example/a/gpuview/socket/"],
  [{ baseUrl: "/", wsUrl: "" }, "wss://hub.example/gpuview/socket/"],
])("%o leads to %s", (config, expected) => {
  expect(socketUrl(PLACE, page(config))).toBe(expected + PATH);
});

test.each(["JupyterLab", "Jupyter Notebook"])(
  "%s says whether the extension is there",
  (appName) => {
    const without = page({ appName, baseUrl: "/" });
    expect(socketUrl(PLACE, without)).toBeNull();
    expect(viewUrl(PLACE, without)).toBeNull();
    const with_it = page({ appName, baseUrl: "/", gpuview: true });
    expect(socketUrl(PLACE, with_it)).toBe(`wss://hub.example/gpuview/socket/${PATH}`);
    expect(viewUrl(PLACE, with_it)).toBe(`https://hub.example/gpuview/view/${PATH}`);
    expect(socketUrl(UNKNOWN, with_it)).toBe(socketUrl(PLACE, with_it));
  },
);

test.each([
  ["Voila's", page({ baseUrl: "/" })],
  ["nbclassic's", page(null, "/")],
])("where a page such as %s does not say it, the kernel does", (_whose, here) => {
  expect(socketUrl(PLACE, here)).toBe(`wss://hub.example/gpuview/socket/${PATH}`);
  expect(socketUrl(UNKNOWN, here)).toBeNull();
  expect(viewUrl(UNKNOWN, here)).toBeNull();
});

test("the page of one stream is where the server's other pages are", () => {
  const here = page({ baseUrl: "/user/alice/", wsUrl: "wss://sockets.example/" });
  expect(viewUrl(PLACE, here)).toBe(`https://hub.example/user/alice/gpuview/view/${PATH}`);
  expect(viewUrl(PLACE, page(null, "/nb/"))).toBe(`https://hub.example/nb/gpuview/view/${PATH}`);
});

test.each([
  ["a kernel without a socket", NOWHERE, page({ baseUrl: "/" })],
  ["a page without a Jupyter server", PLACE, page(null)],
  ["nonsense", PLACE, page({ baseUrl: "http://[" })],
])("%s has no page of one stream", (_name, place, here) => {
  expect(viewUrl(place, here)).toBeNull();
});

test("nbclassic says it in an attribute", () => {
  expect(socketUrl(PLACE, page(null, "/nb/"))).toBe(`wss://hub.example/nb/gpuview/socket/${PATH}`);
});

test.each([
  ["a page without a Jupyter server", PLACE, page(null)],
  ["a configuration that is none", PLACE, page("nonsense")],
  ["a configuration that is null", PLACE, page("null")],
  ["a base that is no URL", PLACE, page({ baseUrl: "http://[/" })],
  ["a base of another kind", PLACE, page({ baseUrl: "ftp://files.example/" })],
  ["a kernel that cannot be found", NOWHERE, page({ baseUrl: "/" })],
])("%s has none", (_case, place, made) => {
  expect(socketUrl(place, made)).toBeNull();
});

test("the token is sent only where the page's cookie is not", () => {
  const config = { baseUrl: "/", token: "sesame" };
  expect(socketUrl(PLACE, page(config))).not.toMatch("sesame");
  const elsewhere = { ...config, baseUrl: "http://127.0.0.1:8888/" };
  expect(socketUrl(PLACE, page(elsewhere))).toMatch(/\?token=sesame$/);
});
