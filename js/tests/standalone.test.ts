// @vitest-environment happy-dom
// The page that shows one stream and nothing else.

import { beforeEach, expect, test, vi } from "vitest";

import { show } from "../src/standalone/page";
import { LIVE, last } from "./fakes";
import { hidePage, pass, usePage } from "./page";

class FakeSocket extends EventTarget {
  static readonly OPEN = 1;
  static opened: FakeSocket[] = [];
  readonly sent: { type: string; view?: string }[] = [];
  readyState = 0;
  binaryType = "blob";

  constructor(readonly url: string) {
    super();
    FakeSocket.opened.push(this);
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  open(): void {
    this.readyState = FakeSocket.OPEN;
    this.dispatchEvent(new Event("open"));
  }

  say(message: object): void {
    this.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(message) }));
  }

  end(code: number, reason = ""): void {
    this.readyState = 3;
    this.dispatchEvent(Object.assign(new Event("close"), { code, reason }));
  }

  close(): void {
    this.readyState = 3;
  }

  types(): string[] {
    return [...new Set(this.sent.map(({ type }) => type))];
  }
}

usePage();

let stop: AbortController;

beforeEach(() => {
  FakeSocket.opened = [];
  vi.stubGlobal("WebSocket", FakeSocket);
  document.body.dataset["baseUrl"] = "/user/alice/";
  document.body.dataset["place"] = "some-kernel/s1";
  stop = new AbortController();
  return () => stop.abort();
});

/** Opens the page; returns its first WebSocket, and where the picture goes. */
function open() {
  show(document, stop.signal);
  const [socket] = FakeSocket.opened;
  const root = document.querySelector("main");
  if (socket === undefined || root === null) throw new Error("nothing was shown");
  return { socket, root };
}

/** The newest WebSocket. */
const newest = () => last(FakeSocket.opened);

test("the page connects below the server's base URL, and asks how before it offers", async () => {
  const { socket, root } = open();
  expect(new URL(socket.url).pathname).toBe("/user/alice/gpuview/socket/some-kernel/s1");
  socket.open();
  await pass(500);
  expect(socket.types()).toEqual(["GetPeerConfig"]);
  const view = String(root.dataset["view"]);
  socket.say({
    type: "PeerConfig",
    view,
    ice_servers: [],
    ice_transport_policy: "all",
    wants_log: false,
    problems: [],
  });
  await pass(0);
  expect(last(socket.sent)).toMatchObject({ type: "Offer", view, seq: 1 });
  socket.say({ type: "Answer", view, seq: 1, sdp: "v=0" });
  await pass(0);
  expect(last(socket.sent)).toEqual({ type: "Ack", view, seq: 1 });
});

test("the status comes over the socket", () => {
  const { socket, root } = open();
  socket.open();
  expect(root.dataset["status"]).toBe("waiting");
  socket.say(LIVE);
  expect(root.dataset["status"]).toBe("live");
  socket.say({ ...LIVE, state: "closed" });
  expect(root.dataset["state"]).toBe("closed");
});

test("a stream that does not exist is named, and shown when it exists", async () => {
  const { socket, root } = open();
  socket.open();
  const problem = { problem: "there is no stream s1", expected: "s2", fix: "open its page" };
  socket.say({ type: "Refusal", view: "", seq: 0, ...problem });
  socket.end(4410);
  expect(root.dataset["state"]).toBe("failed");
  expect(root.textContent).toContain("there is no stream s1");
  await pass(2000);
  expect(newest()).not.toBe(socket);
  newest().open();
  expect(root.dataset["state"]).toBe("failed"); // Not a word yet.
  newest().say(LIVE);
  expect(root.dataset["state"]).toBe("connecting");
});

test("a page before the stream says what it waits for, and asks ever less often", async () => {
  const { socket, root } = open();
  socket.open();
  socket.end(4404, "the kernel has no media process now");
  expect(root.textContent).toContain("run that cell; this page goes on by itself");
  for (let n = 0; n < 12; n++) {
    await pass(21_000);
    newest().end(4404);
  }
  const asked = FakeSocket.opened.length;
  await pass(20_000);
  expect(FakeSocket.opened.length).toBe(asked);
  await pass(1000);
  expect(FakeSocket.opened.length).toBe(asked + 1);
});

test("a server without the kernel ends the page, one that is away does not", async () => {
  const fetched = vi.fn();
  vi.stubGlobal("fetch", fetched);
  const { socket, root } = open();
  fetched.mockRejectedValueOnce(new TypeError("no network"));
  socket.end(1006);
  await pass(2000);
  expect(root.dataset["state"]).not.toBe("gone");
  fetched.mockResolvedValueOnce({ status: 200 });
  newest().end(1006);
  await pass(3000);
  expect(root.dataset["state"]).not.toBe("gone");
  fetched.mockResolvedValueOnce({ status: 404 });
  newest().end(1006);
  await pass(0);
  expect(root.dataset["state"]).toBe("gone");
});

test("a socket that has died without a word is replaced, the connection stays", async () => {
  const { socket, root } = open();
  socket.open();
  socket.say(LIVE);
  const before = root.dataset["view"];
  vi.stubGlobal("fetch", vi.fn().mockResolvedValue({ status: 200 }));
  await pass(12_000);
  expect(socket.readyState).toBe(3);
  expect(socket.types()).toContain("Ping");
  newest().open();
  newest().say(LIVE);
  expect(root.dataset["view"]).toBe(before);
  expect(newest().types()).not.toContain("Offer");
});

test("a page that nobody sees has no socket, and keeps its connection", async () => {
  const { socket, root } = open();
  socket.open();
  socket.say(LIVE);
  hidePage(true);
  expect(socket.readyState).toBe(3);
  await pass(120_000);
  const all = (message: object) => FakeSocket.opened.forEach((each) => each.say(message));
  all({ ...LIVE, state: "waiting" }); // The view's own asks of another kind.
  expect(root.dataset["status"]).toBe("live");
  hidePage(false);
  all({ ...LIVE, state: "waiting" });
  expect(root.dataset["status"]).toBe("waiting");
});

test("a page that is left closes its socket", () => {
  const { socket } = open();
  socket.open();
  stop.abort();
  expect(socket.readyState).toBe(3);
});
