// @vitest-environment happy-dom
import { describe, expect, test, vi } from "vitest";

import type { PageMessage, PeerConfig } from "../src/messages";
import { FakeModel, FakePeerConnection, last, LIVE, showFrame } from "./fakes";
import {
  answer,
  decode,
  details,
  hidePage,
  message,
  pass,
  passAlive,
  peer,
  play,
  pressDetails,
  refuse,
  settle,
  show,
  state,
  usePage,
  PROBLEM,
} from "./page";

usePage();

const TURN = "turn:turn.example:3478";
const SERVERS = [{ urls: [TURN], username: "someone", credential: "sesame" }];
const SRFLX = "candidate:1 1 udp 1677729535 198.51.100.20 51618 typ srflx raddr 0.0.0.0 rport 0";
const RELAY = "candidate:2 1 udp 50340607 198.18.0.10 49160 typ relay raddr 0.0.0.0 rport 0";
const HIDDEN = "candidate:3 1 udp 2113937151 06a76f4d-6190.local 41905 typ host";
const TCP = "candidate:4 1 tcp 1518280447 10.0.0.20 9 typ host tcptype active";
const KERNEL = "candidate:5 1 udp 2130706431 203.0.113.10 10111 typ host";
const LATE = "candidate:6 1 udp 16777215 198.18.0.10 49200 typ relay";
const LATER = "candidate:7 1 udp 16777215 198.18.0.10 49201 typ relay";

/** Opens a view that has been given ICE servers and has sent its offer. */
async function showWith(config: Partial<PeerConfig> = {}) {
  const shown = await show({ needs_peer_config: true });
  shown.model.configure(shown.root.dataset["view"] ?? "", { ice_servers: SERVERS, ...config });
  await settle();
  return shown;
}

const sentCandidates = (model: FakeModel) => model.sentOf("Candidates");
const sentProblems = (model: FakeModel) =>
  last(sentCandidates(model)).problems.map(({ problem }) => problem);

describe("this browser's candidates", () => {
  test("go to the kernel as they are gathered, without those that it cannot use", async () => {
    const { model, root } = await showWith();
    for (const candidate of [HIDDEN, TCP, SRFLX, ""]) peer().gather(candidate);
    await pass(100);
    const message = { type: "Candidates", view: root.dataset["view"], seq: 1, problems: [] };
    expect(sentCandidates(model)).toEqual([{ ...message, candidates: [SRFLX] }]);
    peer().gather(RELAY, { url: `${TURN}?transport=udp` });
    await pass(100);
    expect(sentCandidates(model)).toHaveLength(2);
    expect(last(sentCandidates(model)).candidates).toEqual([SRFLX, RELAY]);
  });

  test("are sent a few times, again after the answer, and no more once connected", async () => {
    const { model } = await showWith();
    peer().gather(RELAY);
    await pass(10_000);
    expect(sentCandidates(model)).toHaveLength(5);
    await answer(model);
    await pass(10_000);
    expect(sentCandidates(model)).toHaveLength(10);
    peer().gather(SRFLX);
    await pass(100);
    peer().become("connected");
    await passAlive(5000);
    expect(sentCandidates(model)).toHaveLength(11);
  });

  test("are not sent if the kernel can use none of them", async () => {
    const { model } = await show();
    peer().gather(HIDDEN);
    await answer(model);
    await pass(14_000);
    expect(sentCandidates(model)).toEqual([]);
  });

  test("belong to the newest offer", async () => {
    const { model } = await showWith();
    model.push("epoch", 1);
    model.configure(last(model.sentOf("GetPeerConfig")).view, { ice_servers: SERVERS });
    await settle();
    peer().gather(SRFLX);
    await pass(100);
    expect(last(sentCandidates(model)).seq).toBe(2);
  });
});

describe("the kernel's candidates", () => {
  test("are added once each if they come after the answer", async () => {
    const { model } = await show();
    await answer(model, `a=${KERNEL}`);
    model.add([KERNEL, LATE, LATER]);
    model.add([KERNEL, LATE, LATER]);
    await settle();
    expect(peer().added).toEqual([LATE, LATER]);
  });

  test("wait for the answer if they overtake it", async () => {
    const { model } = await show();
    model.add([LATE]);
    await settle();
    expect(peer().added).toEqual([]);
    await answer(model, `a=${KERNEL}`);
    expect(peer().added).toEqual([LATE]);
  });

  test("are ignored if they belong to another offer or view", async () => {
    const { model } = await show();
    await answer(model);
    const { view } = last(model.sentOf("Offer"));
    const message = { type: "Candidates", candidates: [LATE], problems: [] };
    model.fire("msg:custom", { ...message, view, seq: 2 });
    model.fire("msg:custom", { ...message, view: "another-view", seq: 1 });
    await settle();
    expect(peer().added).toEqual([]);
  });

  test("are noted if this browser rejects them, and the others are still added", async () => {
    const { model, root } = await show();
    await answer(model);
    model.add(["candidate:7 1 udp 1 nonsense 10111 typ host", LATE]);
    await settle();
    expect(peer().added).toEqual([LATE]);
    expect(state(root)).toBe("connecting");
    await pressDetails(root);
    expect(details(root)).toMatch("this browser rejected the kernel's candidate host nonsense");
  });
});

describe("a server that fails", () => {
  test("is named at once, on the page and to the kernel, while the view still connects", async () => {
    const { model, root } = await showWith();
    peer().fail(`${TURN}?transport=udp`, 401, "Unauthorized.");
    expect(state(root)).toBe("connecting");
    const problem = `the TURN server ${TURN} refuses the username or credential (401 Unauthorized)`;
    expect(root.textContent).toContain(problem);
    await pass(100);
    expect(sentProblems(model)).toEqual([problem]);
  });

  test("to reply is named within 2 s, until it replies after all", async () => {
    const { model, root } = await showWith();
    await pass(2000);
    expect(root.textContent).toMatch(`the TURN server ${TURN} has not replied`);
    peer().gather(RELAY, { url: `${TURN}?transport=udp` });
    expect(root.textContent).not.toMatch("has not replied");
    await pass(100);
    expect(last(sentCandidates(model))).toMatchObject({ candidates: [RELAY], problems: [] });
  });

  test("is only noted in the details while there is a picture", async () => {
    const { model, root } = await showWith();
    await play(model, root);
    await passAlive(2000);
    expect(root.textContent).not.toMatch("has not replied");
    await pressDetails(root);
    expect(details(root)).toMatch(`the TURN server ${TURN} has not replied`);
    expect(sentProblems(model)).toHaveLength(1);
  });

  test("is not blamed if the browser is connected and has ended gathering without it", async () => {
    const { model, root } = await showWith();
    await play(model, root);
    peer().iceGatheringState = "complete";
    await passAlive(2000);
    expect(sentCandidates(model)).toEqual([]);
  });

  test("is only noted if it is a STUN server", async () => {
    const { root } = await showWith({ ice_servers: [{ urls: ["stun:stun.example"] }] });
    await pass(2000);
    expect(message(root)).toBe("");
    await pressDetails(root);
    expect(details(root)).toMatch("stun:stun.example has not told this browser its address");
  });

  test("on the kernel's side is named as such, and the newest problem is shown", async () => {
    const { model, root } = await showWith();
    peer().fail(`${TURN}?transport=udp`, 401);
    model.add([], [PROBLEM]);
    expect(root.textContent).toMatch(`on the kernel's side: ${PROBLEM.problem}`);
  });

  test("ends a view that may use only relays at once", async () => {
    const { model, root } = await showWith({ ice_transport_policy: "relay" });
    peer().fail(`${TURN}?transport=udp`, 401, "Unauthorized.");
    await settle();
    expect(state(root)).toBe("failed");
    expect(root.textContent).toMatch("no video connection came up: the TURN server");
    expect(peer().isClosed).toBe(true);
    expect(sentProblems(model)).toHaveLength(1);
  });

  test("through one network card does not end a view that may use only relays", async () => {
    const { root } = await showWith({ ice_transport_policy: "relay" });
    peer().iceGatheringState = "gathering";
    peer().fail(`${TURN}?transport=udp`, 701, "Failed to connect");
    await pass(3000);
    expect(state(root)).toBe("connecting");
    expect(root.textContent).toMatch("could not be reached");
    peer().complete();
    expect(state(root)).toBe("failed");
    expect(root.textContent).toMatch("no video connection came up: the TURN server");
  });

  test("does not matter if the server that it redirected to gave a relay", async () => {
    const { model, root } = await showWith({ ice_transport_policy: "relay" });
    peer().gather(RELAY, { url: "turn:alternate.example:3478?transport=udp" });
    peer().complete();
    await play(model, root);
    await passAlive(3000);
    expect(state(root)).toBe("playing");
    expect(sentCandidates(model).flatMap(({ problems }) => problems)).toEqual([]);
  });

  test("is given as the reason why a connection did not come up", async () => {
    const { model, root } = await showWith();
    peer().gather(HIDDEN);
    await answer(model, `a=${KERNEL}`);
    await pass(15_000);
    expect(state(root)).toBe("failed");
    expect(root.textContent).toMatch(
      `no video connection came up: the TURN server ${TURN} has not`,
    );
  });

  test("reveals no secret to the page or the kernel", async () => {
    const written = vi.spyOn(console, "debug").mockReturnValue();
    const { model, root } = await showWith({ wants_log: true });
    peer().fail(`${TURN}?transport=udp`, 401, "Unauthorized.");
    await pressDetails(root);
    await pass(2000);
    const written_out = JSON.stringify([root.outerHTML, model.sent, written.mock.calls]);
    expect(written_out).not.toMatch(/someone|sesame/);
  });

  test("because its URL is wrong is named without its login", async () => {
    vi.stubGlobal(
      "RTCPeerConnection",
      class {
        constructor() {
          throw new DOMException("'turn:someone@turn.example' is not valid", "SyntaxError");
        }
      },
    );
    const { root } = await showWith();
    expect(root.textContent).toMatch("this browser rejected the STUN and TURN servers");
    expect(root.textContent).not.toMatch("someone");
  });
});

test("a refusal instead of the ICE servers is shown", async () => {
  const { model, root } = await show({ needs_peer_config: true });
  const refusal = { type: "Refusal", seq: 0, ...PROBLEM };
  model.fire("msg:custom", { ...refusal, view: "another-view" });
  await settle();
  expect(state(root)).toBe("connecting");
  model.fire("msg:custom", { ...refusal, view: root.dataset["view"] });
  await settle();
  expect(state(root)).toBe("failed");
  expect(root.textContent).toMatch(PROBLEM.problem);
});

describe("the details", () => {
  /** Makes the browser's statistics show a relay. */
  function useRelay() {
    peer()
      .report.set("T", { type: "transport", selectedCandidatePairId: "P" })
      .set("P", { type: "candidate-pair", localCandidateId: "L", remoteCandidateId: "R" })
      .set("L", {
        type: "local-candidate",
        candidateType: "relay",
        address: "198.18.0.10",
        port: 7,
      })
      .set("R", {
        type: "remote-candidate",
        candidateType: "host",
        address: "fd00::9",
        port: 5000,
      });
  }

  test("are closed until somebody opens them, and then show the route", async () => {
    const { model, root } = await show();
    useRelay();
    decode(0, 1);
    await play(model, root);
    const box = root.querySelector<HTMLElement>(".gpuview-details");
    expect(box?.hidden).toBe(true);
    await pass(1000);
    expect(root.querySelector(".gpuview-rows")).toBeNull();
    await pressDetails(root);
    expect(box?.hidden).toBe(false);
    expect(root.querySelector(".gpuview-details-button")?.getAttribute("aria-expanded")).toBe(
      "true",
    );
    expect(details(root)).toMatch("relay 198.18.0.10:7 → host [fd00::9]:5000");
    await pressDetails(root);
    expect(box?.hidden).toBe(true);
  });

  test("are in the DOM for scripts: the selected pair, while there is a picture", async () => {
    const { model, root } = await show();
    useRelay();
    decode(0, 1);
    await play(model, root);
    expect(root.dataset).toMatchObject({ pair: "relay-host", remote: "[fd00::9]:5000" });
    model.push("epoch", 1);
    expect(root.dataset["pair"]).toBeUndefined();
    expect(root.dataset["remote"]).toBeUndefined();
  });

  test("do no harm in a browser without statistics", async () => {
    const { model, root } = await show();
    vi.spyOn(peer(), "getStats").mockRejectedValue(new DOMException("closed"));
    await pressDetails(root);
    await play(model, root);
    await passAlive(2000);
    expect(details(root)).toMatch("connection connected");
  });

  test("of a closed stream say that no connection was tried", async () => {
    const { root } = await show({ status: { ...LIVE, state: "closed" } });
    await pressDetails(root);
    expect(details(root)).toBe("No connection has been tried.");
  });

  test("of a failed connection can be read after it is closed", async () => {
    const { model, root } = await show();
    peer().gather(HIDDEN);
    await answer(model, `a=${KERNEL}`);
    peer().report.set("P", { type: "candidate-pair", state: "in-progress", requestsSent: 12 });
    await pass(15_000);
    expect(peer().isClosed).toBe(true);
    await pressDetails(root);
    expect(details(root)).toMatch("requests 12, replies 0");
    expect(details(root)).toMatch("host 203.0.113.10:10111");
    expect(details(root)).toMatch("host 06a76f4d….local:41905");
  });

  test("are left alone while somebody copies them", async () => {
    const { root } = await show();
    await pressDetails(root);
    const shown = root.querySelector(".gpuview-rows");
    const selecting = vi.spyOn(document, "getSelection");
    const ends = [
      { anchorNode: shown, focusNode: document.body },
      { anchorNode: document.body, focusNode: shown },
    ];
    for (const each of ends) {
      selecting.mockReturnValue({ isCollapsed: false, ...each } as unknown as Selection);
      peer().gather(HIDDEN);
      await pass(1000);
      expect(root.querySelector(".gpuview-rows")).toBe(shown);
    }
    selecting.mockRestore();
    await pass(1000);
    expect(details(root)).toMatch("06a76f4d");
  });
});

describe("the log", () => {
  const lines = (messages: readonly PageMessage[]) =>
    messages.flatMap((message) => (message.type === "PageLog" ? [message.text] : []));

  test("has every candidate, error and state, in the console and in the kernel", async () => {
    const written = vi.spyOn(console, "debug").mockReturnValue();
    const { model, root } = await showWith({ wants_log: true });
    peer().gather(SRFLX, { url: "stun:stun.example:3478" });
    peer().fail(`${TURN}?transport=udp`, 401, "Unauthorized.");
    await answer(model, `a=ice-pwd:sesame\r\na=${KERNEL}`);
    model.add([LATE]);
    peer().become("connected");
    await settle();
    expect(lines(model.sent)).toEqual([
      "offer:\noffer 1",
      "candidate: srflx 198.51.100.20:51618 udp from stun:stun.example:3478",
      `candidate error: ${TURN}?transport=udp 401 Unauthorized.`,
      `answer:\na=ice-pwd:...\na=${KERNEL}`,
      "the kernel's candidate: relay 198.18.0.10:49200 udp",
      "connection: connected",
    ]);
    expect(written).toHaveBeenCalledTimes(6);
    expect(written).toHaveBeenCalledWith("gpuview", root.dataset["view"], "connection: connected");
  });

  test("is not written if nobody asked for it", async () => {
    const written = vi.spyOn(console, "debug");
    const { model, root } = await showWith();
    peer().gather(SRFLX);
    await play(model, root);
    expect(lines(model.sent)).toEqual([]);
    expect(written).not.toHaveBeenCalled();
  });
});

describe("a view that has played", () => {
  /** Loses connections until the view goes on slowly. */
  async function loseAll() {
    for (const pause_ms of [0, 1000, 2000, 4000, 8000]) {
      peer().become("failed");
      await pass(pause_ms);
    }
    peer().become("failed");
    await settle();
  }

  test("never stops trying, and says so", async () => {
    const { model, root } = await show();
    await play(model, root);
    await loseAll();
    expect(state(root)).toBe("reconnecting");
    expect(root.textContent).toMatch("reconnecting");
    expect(root.textContent).toMatch("expected:");
    const tries = FakePeerConnection.made.length;
    await pass(19_999);
    expect(FakePeerConnection.made).toHaveLength(tries);
    await pass(1);
    expect(FakePeerConnection.made).toHaveLength(tries + 1);
    await play(model, root);
    expect(state(root)).toBe("playing");
    expect(root.textContent).not.toMatch("expected:");
  });

  test("goes on trying when the kernel refuses it", async () => {
    const { model, root } = await show();
    await play(model, root);
    peer().become("failed");
    await settle();
    await refuse(model);
    expect(state(root)).toBe("reconnecting");
    expect(root.textContent).toMatch(PROBLEM.problem);
    await pass(1000);
    expect(last(model.sentOf("Offer")).seq).toBe(3);
  });

  test.each([
    ["the network is back", () => window.dispatchEvent(new Event("online"))],
    ["somebody looks", () => hidePage(false)],
  ])("tries at once when %s, and only once", async (_name, happen) => {
    const { model, root } = await show();
    await play(model, root);
    await loseAll();
    const tries = FakePeerConnection.made.length;
    happen();
    await pass(10_000);
    expect(FakePeerConnection.made).toHaveLength(tries + 1);
  });

  test("does not try while nobody can see it, and is back when somebody looks", async () => {
    const { model, root } = await show();
    await play(model, root);
    await loseAll();
    const tries = FakePeerConnection.made.length;
    hidePage(true);
    await pass(60_000);
    expect(FakePeerConnection.made).toHaveLength(tries);
    hidePage(false);
    await pass(300);
    expect(FakePeerConnection.made).toHaveLength(tries + 1);
  });

  test("tries only once when everything happens at once, as when a laptop is opened", async () => {
    const { model, root } = await show();
    await play(model, root);
    await loseAll();
    const tries = FakePeerConnection.made.length;
    for (let time = 0; time < 10; time++) {
      hidePage(false);
      window.dispatchEvent(new Event("online"));
      await pass(20);
    }
    await pass(5000);
    expect(FakePeerConnection.made).toHaveLength(tries + 1);
  });

  test("does not show the problems of the connection before", async () => {
    const { model, root } = await showWith();
    await play(model, root);
    await passAlive(2000); // A TURN server that was not needed has not replied.
    peer().become("failed");
    expect(state(root)).toBe("reconnecting");
    expect(message(root)).toBe("");
  });

  test("leaves no timer behind when it is closed while it waits", async () => {
    const { model, root, dispose } = await show();
    await play(model, root);
    await loseAll();
    dispose();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("a connection in doubt", () => {
  test("is probed at once and lives on if it answers", async () => {
    const { model, root } = await show();
    await play(model, root);
    const pings = peer().channel?.sent.length ?? 0;
    window.dispatchEvent(new Event("online"));
    await pass(1000);
    expect(peer().channel?.sent.length).toBeGreaterThanOrEqual(pings + 3); // One may be lost.
    peer().channel?.pong();
    await pass(1000);
    expect(state(root)).toBe("playing");
    expect(FakePeerConnection.made).toHaveLength(1);
  });

  test("is replaced after 2 s of silence", async () => {
    const { model, root } = await show();
    await play(model, root);
    peer().channel?.pong();
    window.dispatchEvent(new Event("online"));
    await pass(1999);
    expect(state(root)).toBe("playing");
    await pass(1);
    expect(state(root)).toBe("reconnecting");
  });

  test("is probed after the machine has slept", async () => {
    const { model, root } = await show();
    await play(model, root);
    peer().channel?.pong();
    vi.setSystemTime(Date.now() + 3_600_000);
    await pass(1000); // The next check notices, ...
    expect(state(root)).toBe("playing");
    await pass(2000); // ... and nothing comes back.
    expect(state(root)).toBe("reconnecting");
    await settle();
    expect(last(model.sentOf("Offer")).seq).toBe(2);
  });

  test.each([
    ["a change", true, "reconnecting"],
    ["that it is gone, with time to come back", false, "playing"],
  ])("is probed if the network reports %s", async (_name, is_online, expected) => {
    const connection = new EventTarget();
    Object.defineProperty(navigator, "connection", { value: connection, configurable: true });
    const { model, root } = await show();
    Reflect.deleteProperty(navigator, "connection");
    await play(model, root);
    peer().channel?.pong();
    vi.spyOn(navigator, "onLine", "get").mockReturnValue(is_online);
    connection.dispatchEvent(new Event("change"));
    await pass(5000);
    expect(state(root)).toBe(expected);
  });
});

test("an attempt without a network is repeated when the network is back", async () => {
  const { model } = await show();
  window.dispatchEvent(new Event("online"));
  await pass(300);
  expect(FakePeerConnection.made.map(({ isClosed }) => isClosed)).toEqual([true, false]);
  expect(last(model.sentOf("Offer")).seq).toBe(2);
});

test("a picture that comes back removes the message", async () => {
  const { model, root } = await show();
  await play(model, root);
  peer().become("failed");
  await settle();
  peer().become("failed");
  await pass(1000);
  expect(message(root)).not.toBe("");
  await answer(model);
  peer().become("connected");
  showFrame(root);
  expect(message(root)).toBe("");
});
