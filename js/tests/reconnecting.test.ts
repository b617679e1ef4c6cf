// @vitest-environment happy-dom
import { describe, expect, test, vi } from "vitest";

import { FakePeerConnection, last, showFrame } from "./fakes";
import {
  answer,
  decode,
  hidePage,
  message,
  pass,
  passAlive,
  peer,
  play,
  PROBLEM,
  refuse,
  settle,
  show,
  showWith,
  state,
  usePage,
} from "./page";

usePage();

describe("a connection that dies", () => {
  test("is noticed at the first ping after 7.5 s without a pong", async () => {
    const { model, root } = await show();
    await play(model, root);
    await pass(1000);
    peer().channel?.pong();
    expect(peer().channel?.sent).toHaveLength(2);
    await pass(7999);
    expect(state(root)).toBe("playing");
    await pass(1);
    expect(state(root)).toBe("reconnecting");
  });

  test.each([
    [5000, 10],
    [5000, 500],
    [5000, 990],
    [5990, 10],
  ])(
    "is not dead when the link is down for %i ms, from %i ms after a ping",
    async (outage_ms, phase_ms) => {
      const { model, root } = await show();
      await play(model, root);
      const channel = peer().channel;
      let is_up = true;
      const send = vi.spyOn(channel ?? { send: () => undefined }, "send");
      send.mockImplementation(() => void (is_up && setTimeout(() => channel?.pong(), 5)));
      await pass(3000 + phase_ms);
      is_up = false;
      await pass(outage_ms);
      is_up = true;
      await pass(5000);
      expect(state(root)).toBe("playing");
      expect(FakePeerConnection.made).toHaveLength(1);
    },
  );

  test("is closed and replaced at once by a new one with the next number", async () => {
    const { model, root } = await show();
    await play(model, root);
    peer().become("failed");
    await settle();
    expect(FakePeerConnection.made.map(({ isClosed }) => isClosed)).toEqual([true, false]);
    expect(last(model.sentOf("Offer"))).toMatchObject({ seq: 2, sdp: "offer 2" });
    await play(model, root);
    expect(state(root)).toBe("playing");
  });

  test("is replaced at once when there is a new media process", async () => {
    const { model, root } = await show();
    await play(model, root);
    model.push("epoch", 1);
    await settle();
    expect(state(root)).toBe("reconnecting");
    expect(last(model.sentOf("Offer")).seq).toBe(2);
  });

  test("has no effect any more once it is replaced", async () => {
    const { model, root } = await show();
    const { view, seq } = last(model.sentOf("Offer"));
    const video = root.querySelector("video");
    model.reply({ type: "Answer", view, seq, sdp: "nonsense" });
    model.push("epoch", 1);
    await settle();
    video?.dispatchEvent(new Event("fake-frame"));
    expect(state(root)).toBe("connecting");
    expect(root.querySelectorAll("video")).toHaveLength(1);
  });

  test("is replaced when it brings nothing to decode for 10 s of a live stream", async () => {
    const { model, root } = await show();
    await answer(model);
    peer().become("connected");
    await passAlive(9000);
    expect(state(root)).toBe("waiting");
    await passAlive(2000);
    expect(state(root)).toBe("reconnecting");
  });

  test("gives its successor 10 s of its own to bring something to decode", async () => {
    const { model, root } = await show();
    for (let attempt = 1; attempt <= 2; attempt++) {
      await answer(model);
      peer().become("connected");
      await passAlive(9000);
      expect([attempt, state(root)]).toEqual([attempt, "waiting"]);
      await passAlive(1000);
      expect([attempt, state(root)]).toEqual([attempt, "reconnecting"]);
    }
  });

  test("is left alone while the stream has no frame, or frames are decoded but not shown", async () => {
    const { model, root } = await show();
    model.status("waiting");
    await answer(model);
    peer().become("connected");
    await passAlive(15_000);
    model.status("live");
    await passAlive(5000);
    decode(20_000, 3);
    await passAlive(15_000);
    expect(state(root)).toBe("waiting");
  });

  test("is left alone while nobody can see it, and has 10 s once it is shown", async () => {
    const { model, root } = await show();
    root.style.display = "none"; // As in a tab of ipywidgets that is not in front.
    await answer(model);
    peer().become("connected");
    await passAlive(60_000);
    hidePage(true);
    root.style.display = "";
    await passAlive(60_000);
    expect([state(root), FakePeerConnection.made.length]).toEqual(["waiting", 1]);
    hidePage(false);
    await passAlive(9000);
    expect(state(root)).toBe("waiting");
    await passAlive(2000);
    expect(state(root)).toBe("reconnecting");
  });

  test("is in time with its first frame even while its statistics are awaited", async () => {
    const { model, root } = await show();
    await answer(model);
    peer().become("connected");
    await passAlive(9000);
    const asked = new Promise<Map<string, object>>((resolve) =>
      setTimeout(resolve, 1500, new Map()),
    );
    vi.spyOn(peer(), "getStats").mockReturnValue(asked);
    await passAlive(1000);
    showFrame(root);
    await passAlive(1000);
    expect(state(root)).toBe("playing");
  });

  test("is left alone while it is only disconnected", async () => {
    const { model, root } = await show();
    await play(model, root);
    peer().become("disconnected");
    await settle();
    expect(state(root)).toBe("playing");
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
    const { model, root, dispose, end } = await show();
    await play(model, root);
    await loseAll();
    dispose();
    end();
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
