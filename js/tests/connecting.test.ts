// @vitest-environment happy-dom
import { describe, expect, test, vi } from "vitest";

import type { PageMessage } from "../src/messages";
import { FakeModel, last } from "./fakes";
import {
  answer,
  details,
  HIDDEN,
  KERNEL,
  LATE,
  LATER,
  message,
  pass,
  passAlive,
  peer,
  play,
  pressDetails,
  PROBLEM,
  RELAY,
  SERVERS,
  settle,
  show,
  showWith,
  SRFLX,
  state,
  TCP,
  TURN,
  usePage,
} from "./page";

usePage();

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

  test("that servers are missing is said, once for both sides, and delays nothing", async () => {
    const missing = { ...PROBLEM, problem: "there is no TURN login: the service answers with 403" };
    const { model, root } = await showWith({ ice_servers: [], problems: [missing] });
    expect(model.sentOf("Offer")).toHaveLength(1);
    model.add([], [missing]);
    expect(root.textContent).toMatch(`on the kernel's side: ${missing.problem}`);
    await pressDetails(root);
    expect(details(root).split(missing.problem)).toHaveLength(2);
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
