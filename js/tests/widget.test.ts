// @vitest-environment happy-dom
import { describe, expect, test, vi } from "vitest";

import type { Ping, Refusal } from "../src/messages";
import widget from "../src/widget";
import { FakeModel, FakePeerConnection, last, LIVE, showFrame } from "./fakes";
import {
  answer,
  decode,
  hidePage,
  KEPT_MS,
  pass,
  passAlive,
  peer,
  play,
  PROBLEM,
  refuse,
  settle,
  show,
  state,
  usePage,
} from "./page";

usePage();

describe("a page that replaces an output and leaves its view", () => {
  const said = async () => (await show()).model.sentOf("KeepsViews").length;

  test("says so", async () => {
    Object.assign(window, { _JUPYTERLAB: { gpuview: { keeps_views: true } } });
    expect(await said()).toBe(1);
    Object.assign(window, { _JUPYTERLAB: undefined });
  });

  test.each([undefined, {}, { gpuview: {} }, { gpuview: { keeps_views: false } }])(
    "says nothing with %o",
    async (extensions) => {
      Object.assign(window, { _JUPYTERLAB: extensions });
      expect(await said()).toBe(0);
      Object.assign(window, { _JUPYTERLAB: undefined });
    },
  );
});

describe("the offer", () => {
  test("goes out at once, as a trait and as a message", async () => {
    const { model, root } = await show();
    const offer = { type: "Offer", view: root.dataset["view"], seq: 1, sdp: "offer 1" };
    expect(model.sent).toEqual([offer]);
    expect(model.saved).toEqual([{ [offer.view ?? ""]: offer }]);
  });

  test("asks for one video and opens an unreliable data channel", async () => {
    await show();
    const plain = { iceServers: [], iceTransportPolicy: "all", bundlePolicy: "max-bundle" };
    expect(peer().configuration).toEqual(plain);
    expect(peer().channel).toMatchObject({
      label: "gpuview",
      options: { ordered: false, maxRetransmits: 0 },
    });
  });

  test("is repeated unchanged every 400 ms until it is answered, then acknowledged", async () => {
    const { model } = await show();
    await pass(1200);
    const offers = model.sentOf("Offer");
    expect(offers).toHaveLength(4);
    expect(new Set(offers).size).toBe(1);
    await answer(model);
    await pass(5000);
    expect(model.sentOf("Offer")).toHaveLength(4);
    expect(model.sentOf("Ack")).toEqual([{ type: "Ack", view: last(offers).view, seq: 1 }]);
  });

  test("is repeated every 8 s after a while, to a busy kernel", async () => {
    const { model } = await show();
    await pass(16_000);
    expect(model.sentOf("Offer")).toHaveLength(41);
    await pass(80_000);
    expect(model.sentOf("Offer")).toHaveLength(51);
  });

  test("does not stay in the model once it is answered", async () => {
    const { model } = await show();
    await answer(model);
    expect(model.get("offers")).toEqual({});
  });

  test("waits for the ICE servers if there are any, and asks for them until they come", async () => {
    const { model, root } = await show({ needs_peer_config: true });
    const view = root.dataset["view"] ?? "";
    await pass(400);
    expect(model.sent).toEqual(Array(2).fill({ type: "GetPeerConfig", view }));
    const servers = [{ urls: ["turn:turn.example"], username: "u", credential: "c" }];
    model.configure("another-view", {});
    model.configure(view, { ice_servers: servers, ice_transport_policy: "relay" });
    await settle();
    const asked = { iceServers: servers, iceTransportPolicy: "relay" };
    expect(peer().configuration).toMatchObject(asked);
    expect(model.sentOf("Offer")).toHaveLength(1);
    expect(root.outerHTML).not.toMatch("turn.example");
  });

  test("ignores an answer to another view or an older offer", async () => {
    const { model, root } = await show();
    const view = root.dataset["view"] ?? "";
    model.reply(
      { type: "Answer", view: "other", seq: 1, sdp: "x" },
      { type: "Answer", view, seq: 0, sdp: "x" },
    );
    await settle();
    expect(peer().remoteDescription).toBeNull();
  });
});

describe("the picture", () => {
  test("plays from its first frame on", async () => {
    const { model, root } = await show();
    await answer(model);
    expect(peer().remoteDescription).toEqual({ type: "answer", sdp: "answer" });
    peer().become("connected");
    expect(state(root)).toBe("waiting");
    expect(root.querySelector(".gpuview-video")).toBeNull();
    showFrame(root);
    expect(state(root)).toBe("playing");
    expect(root.querySelector(".gpuview-video")).not.toBeNull();
    expect(root.dataset["size"]).toBe("640x360");
  });

  test("of a new connection replaces the old one with its first frame", async () => {
    const { model, root } = await show();
    await play(model, root);
    model.push("epoch", 1);
    await answer(model);
    peer().become("connected");
    expect(root.querySelector(".gpuview-video")?.tagName).toBe("CANVAS"); // The last picture.
    showFrame(root);
    expect([...root.querySelectorAll(".gpuview-video")].map(({ tagName }) => tagName)).toEqual([
      "VIDEO",
    ]);
  });

  test("has its latency beside it, which the media process is told", async () => {
    const { model, root } = await show();
    decode(0, 1);
    await play(model, root);
    peer().channel?.pong();
    showFrame(root, { rtpTimestamp: Math.floor((performance.now() - 25) * 90) });
    decode(1000, 31);
    await pass(1000);
    const ping = JSON.parse(last(peer().channel?.sent ?? [])) as Ping;
    expect(ping.latency_p95_ms).toBeCloseTo(25, 0);
    const figures = root.querySelector<HTMLElement>(".gpuview-figures");
    expect(figures?.title).toMatch("latency 25 ms (p95 25 ms)");
  });

  test.each(["udp", "tcp", "tls"])("says whether it is relayed by TCP: %s", async (protocol) => {
    const { model, root } = await show();
    peer().report = new Map<string, object>([
      ["P", { type: "candidate-pair", selected: true, localCandidateId: "L" }],
      ["L", { type: "local-candidate", candidateType: "relay", relayProtocol: protocol }],
    ]);
    await play(model, root);
    await pass(2000);
    const ping = JSON.parse(last(peer().channel?.sent ?? [])) as Ping;
    expect(ping.is_relayed_by_tcp).toBe(protocol !== "udp");
  });

  test("keeps its size on the page when a slow link is sent a smaller copy", async () => {
    const { model, root } = await show();
    await play(model, root);
    peer().channel?.pong({ width: 1280, height: 720 });
    const stage = root.querySelector<HTMLElement>(".gpuview-stage");
    expect(stage?.style.getPropertyValue("--gpuview-width")).toBe("1280");
    expect(root.dataset["size"]).toBe("1280x720");
    expect(root.textContent).toMatch("1280×720 at half size");
  });

  test("has its frame rate and codec beside it, measured once a second", async () => {
    const { model, root } = await show();
    decode(0, 1);
    await play(model, root);
    decode(1000, 31);
    await pass(1000);
    expect(root.dataset).toMatchObject({ fps: "30.0", codec: "H264" });
    expect(root.textContent).toMatch("640×360 · 30 fps · H264");
  });

  test("has no frame rate beside it while it is frozen", async () => {
    const { model, root } = await show();
    decode(0, 1);
    await play(model, root);
    await pass(1000);
    model.push("epoch", 1);
    expect(root.dataset["fps"]).toBeUndefined();
    expect(root.querySelector(".gpuview-figures")?.textContent).not.toMatch("fps");
  });

  test("has a frame rate that never spans two connections", async () => {
    const { model, root } = await show();
    decode(0, 1);
    await play(model, root);
    await pass(999);
    decode(1000, 31);
    vi.advanceTimersByTime(1); // The statistics are asked for, and the connection is replaced.
    model.push("epoch", 1);
    await settle();
    decode(2000, 1);
    await play(model, root);
    expect(root.dataset["fps"]).toBeUndefined();
    decode(3000, 31);
    await pass(1000);
    expect(root.dataset["fps"]).toBe("30.0");
  });

  test("has a line of the user's below it, whose markup is text", async () => {
    const { model, root } = await show({ status: { ...LIVE, caption: "step 1" } });
    const line = root.querySelector(".gpuview-caption");
    expect(line?.textContent).toBe("step 1");
    model.push("status", { ...LIVE, caption: "<img src=x onerror=alert(1)>" });
    expect(line?.textContent).toBe("<img src=x onerror=alert(1)>");
    expect(line?.children).toHaveLength(0);
  });

  test("says that it stands still when frames repeat it, and goes on with the next", async () => {
    const { model, root } = await show();
    decode(0, 1);
    await play(model, root);
    const label = () => root.querySelector(".gpuview-words")?.textContent;
    for (let second = 1; second <= 6; second += 1) {
      decode(1000 * second, second);
      peer().channel?.pong();
      showFrame(root, { rtpTimestamp: 32 * second, expectedDisplayTime: performance.now() });
      await pass(1000);
    }
    expect(label()).toMatch(/^idle, last frame [456] s ago$/);
    expect(root.querySelector(".gpuview-figures")?.textContent).not.toMatch("fps");
    showFrame(root, { rtpTimestamp: 32 * 7 + 1, expectedDisplayTime: performance.now() });
    decode(7000, 7);
    await pass(1000);
    expect(label()).toBe("playing");
  });

  test("is not measured while nobody can see it", async () => {
    const { model, root } = await show();
    await play(model, root);
    const asked = vi.spyOn(peer(), "getStats");
    hidePage(true);
    await pass(3000);
    expect(asked).not.toHaveBeenCalled();
  });

  test("goes on when the notebook removes it from the page, which pauses it", async () => {
    const { model, root } = await show();
    await play(model, root);
    const video = root.querySelector("video");
    const resumed = vi.spyOn(HTMLVideoElement.prototype, "play").mockResolvedValue();
    video?.dispatchEvent(new Event("pause"));
    expect(resumed).toHaveBeenCalledOnce();
  });
});

describe("a browser that blocks autoplay", () => {
  const playButton = (root: HTMLElement) => root.querySelector<HTMLElement>(".gpuview-play");
  const refusal = new DOMException("not allowed", "NotAllowedError");

  /** A view that is connected, and whose browser refuses to play. */
  async function showBlocked() {
    const shown = await show();
    const asked = vi.spyOn(HTMLVideoElement.prototype, "play").mockRejectedValue(refusal);
    await answer(shown.model);
    peer().become("connected");
    await settle();
    return { ...shown, asked };
  }

  test("has a play button over the picture instead of waiting for ever", async () => {
    const { root, asked } = await showBlocked();
    expect(state(root)).toBe("blocked");
    expect(playButton(root)?.hidden).toBe(false);
    expect(playButton(root)?.ariaLabel).toBe("Play");
    await passAlive(60_000);
    expect([state(root), FakePeerConnection.made.length]).toEqual(["blocked", 1]);
    asked.mockRestore();
    playButton(root)?.click();
    showFrame(root);
    expect(state(root)).toBe("playing");
    expect(playButton(root)?.hidden).toBe(true);
  });

  test("may show a first frame that stands still", async () => {
    const { root, asked } = await showBlocked();
    showFrame(root);
    expect(root.querySelector(".gpuview-video")).not.toBeNull();
    expect(state(root)).toBe("blocked");
    asked.mockRestore();
    playButton(root)?.click();
    await settle();
    expect(state(root)).toBe("playing");
  });

  test("can be pressed again if it refuses again", async () => {
    const { root } = await showBlocked();
    playButton(root)?.click();
    await settle();
    expect([state(root), playButton(root)?.hidden]).toEqual(["blocked", false]);
  });

  test("gives the keyboard to the next button once play is pressed", async () => {
    const { root } = await showBlocked();
    playButton(root)?.focus();
    playButton(root)?.click();
    expect(document.activeElement).toBe(root.querySelector(".gpuview-details-button"));
  });

  test("is not blamed for a refusal that has another reason", async () => {
    const { model, root } = await show();
    const aborted = new DOMException("interrupted", "AbortError");
    vi.spyOn(HTMLVideoElement.prototype, "play").mockRejectedValue(aborted);
    await answer(model);
    peer().become("connected");
    await settle();
    expect(state(root)).toBe("waiting");
  });

  test("may block a picture that the notebook has removed from the page", async () => {
    const { model, root } = await show();
    await play(model, root);
    const video = root.querySelector("video");
    video?.pause();
    vi.spyOn(HTMLVideoElement.prototype, "play").mockRejectedValue(refusal);
    video?.dispatchEvent(new Event("pause"));
    await settle();
    expect(state(root)).toBe("blocked");
  });
});

describe("a view that fails", () => {
  test("says after 15 s that the kernel has not answered, and still uses a late answer", async () => {
    const { model, root } = await show();
    await pass(15_000);
    expect(state(root)).toBe("failed");
    expect(root.textContent).toMatch("the kernel has not answered");
    expect(root.textContent).toMatch("try: wait for the running cell or interrupt it");
    await play(model, root);
    expect(state(root)).toBe("playing");
    expect(root.textContent).not.toMatch("the kernel has not answered");
  });

  test("says 15 s after the answer that there is no route", async () => {
    const { model, root } = await show();
    peer().gather("candidate:1 1 udp 1 06a76f4d-6190.local 41905 typ host");
    await pass(14_000);
    await answer(model, "a=candidate:1 1 udp 1 192.168.77.2 10111 typ host");
    await pass(14_999);
    expect(state(root)).toBe("connecting");
    await pass(1);
    expect(root.textContent).toMatch("GPUVIEW_PUBLIC_IP");
    expect(peer().isClosed).toBe(true);
  });

  test("shows a refusal in its own words and stops asking", async () => {
    const { model, root } = await show();
    await refuse(model);
    await pass(5000);
    for (const part of Object.values(PROBLEM)) expect(root.textContent).toMatch(part);
    expect(model.sentOf("Offer")).toHaveLength(1);
    expect(model.sentOf("Ack")).toHaveLength(1);
  });

  test("shows a refusal that comes by message, if it answers its newest offer", async () => {
    const { model, root } = await show();
    const { view } = last(model.sentOf("Offer"));
    const refusal = { type: "Refusal", view, seq: 1, ...PROBLEM } satisfies Refusal;
    model.fire("msg:custom", { ...refusal, view: "another-view" });
    model.fire("msg:custom", { ...refusal, seq: 0 });
    await settle();
    expect(state(root)).toBe("connecting");
    model.fire("msg:custom", refusal);
    await settle();
    expect(state(root)).toBe("failed");
    expect(root.textContent).toMatch(PROBLEM.problem);
  });

  test("says so when the browser cannot read the answer", async () => {
    const { model, root } = await show();
    await answer(model, "nonsense");
    expect(root.textContent).toMatch("Failed to parse SessionDescription");
  });

  test("says so when the browser has no WebRTC", async () => {
    vi.stubGlobal("RTCPeerConnection", undefined);
    const { root } = await show();
    expect(root.textContent).toMatch("allow WebRTC");
  });

  test.each([
    ["the button", (root: HTMLElement) => root.querySelector("button")?.click()],
    ["the network's return", () => window.dispatchEvent(new Event("online"))],
    ["the tab's return", () => hidePage(false)],
  ])("tries again on %s", async (_name, act) => {
    const { model, root } = await show();
    await refuse(model);
    act(root);
    expect(state(root)).toBe("connecting");
    await pass(300);
    expect(last(model.sentOf("Offer")).seq).toBe(2);
  });
});

test("a tab that is hidden does not try again", async () => {
  const { model, root } = await show();
  await refuse(model);
  hidePage(true);
  expect(state(root)).toBe("failed");
});

test("a screen reader does not hear the same state twice", async () => {
  const { model, root } = await show();
  await play(model, root);
  const said = root.querySelector("[role=status]")?.firstChild;
  model.status("live");
  expect(root.querySelector("[role=status]")?.firstChild).toBe(said);
});

test("a double click enlarges the picture, but selects a word in a message", async () => {
  const { model, root } = await show();
  await play(model, root);
  model.status("error", ...Object.values(PROBLEM));
  const enlarge = vi.fn().mockResolvedValue(undefined);
  Object.assign(root.querySelector(".gpuview-stage") ?? {}, { requestFullscreen: enlarge });
  Object.defineProperty(document, "fullscreenElement", { value: null, configurable: true });
  const doubleClick = (selector: string) =>
    root.querySelector(selector)?.dispatchEvent(new MouseEvent("dblclick", { bubbles: true }));
  doubleClick(".gpuview-problem");
  expect(enlarge).not.toHaveBeenCalled();
  doubleClick(".gpuview-video");
  expect(enlarge).toHaveBeenCalledOnce();
});

test("the keyboard stays in the view when the button that was pressed goes away", async () => {
  const { model, root } = await show();
  await refuse(model);
  const retry = root.querySelector<HTMLElement>(".gpuview-retry");
  retry?.focus();
  retry?.click();
  expect(document.activeElement).toBe(root.querySelector(".gpuview-details-button"));
});

describe("the stream's status", () => {
  test("an error is shown over the picture and goes when the source recovers", async () => {
    const { model, root } = await show();
    await play(model, root);
    model.status("error", ...Object.values(PROBLEM));
    expect(root.textContent).toMatch("no port is free");
    expect(root.querySelector(".gpuview-video")).not.toBeNull();
    model.status("live");
    expect(root.textContent).not.toMatch("no port is free");
    expect(state(root)).toBe("playing");
  });

  test("a closed stream keeps its last picture and its connection is closed", async () => {
    const { model, root } = await show();
    await play(model, root);
    model.status("closed");
    expect(state(root)).toBe("closed");
    expect(root.textContent).toMatch("stream closed");
    expect(root.querySelector(".gpuview-dimmed .gpuview-video")).not.toBeNull();
    expect(peer().isClosed).toBe(true);
  });

  test("a hint stands below a picture that plays", async () => {
    const { model, root } = await show({ status: { ...LIVE, hint: "layout='NHW'" } });
    const hint = () => root.querySelector(".gpuview-hint")?.textContent;
    expect(hint()).toBe("");
    await play(model, root);
    expect(hint()).toBe("layout='NHW'");
    model.status("live");
    expect(hint()).toBe("");
  });

  test("the legend stands below a picture that plays, as text", async () => {
    const text = "<b>depth</b>: 0.5 … 80 (viridis)";
    const entries = [
      { text, colour: "" },
      { text: "3", colour: "#ff8000" },
    ];
    const { model, root } = await show({ status: { ...LIVE, legend: entries } });
    const legend = () => root.querySelector(".gpuview-legend")!;
    const swatches = () => [...legend().querySelectorAll<HTMLElement>(".gpuview-swatch")];
    expect(legend().textContent).toBe("");
    await play(model, root);
    expect([...legend().childNodes].map((each) => each.textContent)).toEqual([text, "3"]);
    expect(swatches().map((each) => each.style.backgroundColor)).toEqual(["#ff8000"]);
    model.status("live");
    expect(legend().childNodes.length).toBe(0);
  });

  test("a colour map is a strip of its colours between its ends, and text for a screen reader", async () => {
    const text = "<b>error</b>: -3 … 3 (coolwarm)";
    const colours = ["#3b4cc0", "#dddddd", "#b40426"];
    const bar = { name: "<b>error</b>", colours, low: "-3", middle: "0", high: "3", note: "" };
    const { model, root } = await show({
      status: { ...LIVE, legend: [{ text, colour: "", bar }] },
    });
    await play(model, root);
    const shown = root.querySelector(".gpuview-bar")!;
    expect([shown.getAttribute("role"), shown.ariaLabel]).toEqual(["img", text]);
    const parts = [...shown.querySelectorAll("span")].filter(
      (each) => each.childElementCount === 0,
    );
    expect(parts.map((each) => each.textContent)).toEqual(["<b>error</b>", "-3", "0", "3"]);
    const { style } = shown.querySelector<HTMLElement>(".gpuview-bar-strip")!;
    expect(style.backgroundImage).toContain(colours.join(", "));
    expect(style.color).toBe("#000");
  });

  test("a stream that was already closed is not connected", async () => {
    const { model, root } = await show({ status: { ...LIVE, state: "closed" } });
    expect(state(root)).toBe("closed");
    expect(model.sent).toEqual([]);
  });
});

describe("a kernel that is gone", () => {
  test("has a message in every view, even one that is opened later", async () => {
    const { model, root, open } = await show();
    await play(model, root);
    model.fire("comm_live_update");
    const later = open();
    for (const each of [root, later.root]) {
      expect(state(each)).toBe("gone");
      expect(each.textContent).toMatch("The kernel is gone. Run the cell again.");
    }
    expect(peer().isClosed).toBe(true);
    expect(model.sentOf("Offer")).toHaveLength(1);
  });

  test("is noticed when nothing can be sent to it", async () => {
    const { model, root } = await show();
    model.isDisposed = true;
    await pass(400);
    expect(state(root)).toBe("gone");
  });

  test("is noticed by the first message to it, and not asked again", async () => {
    const model = new FakeModel({ needs_peer_config: true });
    model.isDisposed = true;
    const { root, dispose } = await show({}, model);
    expect(state(root)).toBe("gone");
    dispose();
    await pass(KEPT_MS);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("an output that is removed", () => {
  test("leaves its picture to the next output of the stream", async () => {
    const { model, root, open, dispose } = await show();
    await play(model, root);
    dispose();
    expect(root.querySelector("video")).toBeNull();
    await passAlive(KEPT_MS - 1000);
    const next = open();
    expect(next.root.querySelector(".gpuview-video")).not.toBeNull();
    expect(next.root.dataset).toMatchObject({ state: "playing", view: root.dataset["view"] });
    await passAlive(3 * KEPT_MS);
    expect(state(next.root)).toBe("playing");
    expect(FakePeerConnection.made).toHaveLength(1);
  });

  test("leaves it also before it has connected", async () => {
    const { model, open, dispose } = await show();
    dispose();
    await pass(200);
    const { root } = open();
    await play(model, root);
    expect(state(root)).toBe("playing");
    expect(FakePeerConnection.made).toHaveLength(1);
  });

  test("closes its connection if no other output follows", async () => {
    const { model, root, dispose, open } = await show();
    await play(model, root);
    dispose();
    await passAlive(KEPT_MS);
    expect(peer().isClosed).toBe(true);
    expect(model.sentOf("Bye")).toHaveLength(1);
    expect(state(open().root)).not.toBe("playing");
  });

  test("keeps what plays when outputs overlap", async () => {
    const { model, root, dispose, open } = await show();
    await play(model, root);
    const other = open();
    dispose();
    other.dispose();
    expect(open().root.dataset["view"]).toBe(root.dataset["view"]);
  });
});

describe("the end of a view", () => {
  test.each([
    ["offering", async () => undefined],
    ["playing", play],
    ["failed", refuse],
  ])("leaves no timer and no listener behind when it is %s", async (_name, reach) => {
    const { model, root, dispose, end } = await show();
    await reach(model, root);
    const video = root.querySelector("video");
    dispose();
    end();
    await settle();
    expect(vi.getTimerCount()).toBe(0);
    expect(model.listeners).toBe(0);
    expect(peer().isClosed).toBe(true);
    expect(root.querySelector("video")).toBeNull();
    expect(video?.srcObject ?? null).toBeNull();
    expect(model.sentOf("Bye")).toHaveLength(1);
    window.dispatchEvent(new Event("pagehide"));
    expect(model.sentOf("Bye")).toHaveLength(1);
  });

  test("at the moment of its answer leaves no timer behind", async () => {
    const { model, dispose, end } = await show();
    const { view, seq } = last(model.sentOf("Offer"));
    model.reply({ type: "Answer", view, seq, sdp: "answer" });
    dispose();
    end();
    await settle();
    expect(vi.getTimerCount()).toBe(0);
  });

  test("leaves the other views of the model playing", async () => {
    const { model, root, open, dispose } = await show();
    await play(model, root);
    const other = open();
    await settle();
    await play(model, other.root);
    dispose();
    await passAlive(KEPT_MS);
    expect(state(other.root)).toBe("playing");
    expect(model.sentOf("Bye")).toEqual([{ type: "Bye", view: root.dataset["view"] }]);
  });

  test("at the moment it gets the ICE servers leaves no connection and no video behind", async () => {
    const { model, root, dispose, end } = await show({ needs_peer_config: true });
    model.configure(root.dataset["view"] ?? "", {});
    dispose();
    end();
    await settle();
    expect(FakePeerConnection.made).toEqual([]);
    expect(root.querySelector("video")).toBeNull();
    expect(vi.getTimerCount()).toBe(0);
  });

  test("while the offer is being made sends no offer", async () => {
    const model = new FakeModel();
    const { initialize, render } = widget();
    const end = initialize({ model });
    render({ model, el: document.createElement("div") })();
    end();
    await pass(1000);
    expect(model.sentOf("Offer")).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("is not announced to a kernel that does not know the view", async () => {
    const { model, dispose, end } = await show({ needs_peer_config: true });
    dispose();
    end();
    expect(model.sentOf("Bye")).toEqual([]);
  });

  test("is announced to the kernel when the page goes away", async () => {
    const { model, root } = await show();
    window.dispatchEvent(new Event("pagehide"));
    expect(model.sentOf("Bye")).toEqual([{ type: "Bye", view: root.dataset["view"] }]);
  });
});
