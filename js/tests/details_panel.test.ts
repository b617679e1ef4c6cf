// @vitest-environment happy-dom
import { describe, expect, test, vi } from "vitest";

import { LIVE } from "./fakes";
import {
  answer,
  decode,
  details,
  HIDDEN,
  KERNEL,
  pass,
  passAlive,
  peer,
  play,
  pressDetails,
  show,
  usePage,
} from "./page";

usePage();

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

  test("show what the link takes, once the kernel's side says it", async () => {
    const { model, root } = await show();
    decode(0, 1);
    await play(model, root);
    await pressDetails(root);
    await passAlive(1000);
    decode(1000, 31);
    await passAlive(1000);
    expect(details(root)).not.toMatch("estimate");
    const link = { estimate_bps: 3_000_000, loss: 0.02, tier: "half", quantiser: 34 };
    decode(2000, 61);
    peer().channel?.pong({ link });
    await pass(1000);
    expect(details(root)).toMatch("estimate 3.0 Mbit/s");
    expect(details(root)).toMatch("2.0% loss, half size, quantiser 34");
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

  test("have graphs of the last minute, with the same in words", async () => {
    const { model, root } = await show();
    decode(0, 0);
    await play(model, root);
    await pressDetails(root);
    const graphs = root.querySelector<HTMLElement>(".gpuview-graphs");
    expect(graphs?.hidden).toBe(true);
    decode(1000, 30);
    await pass(1000);
    decode(2000, 50);
    await pass(1000);
    expect(graphs?.hidden).toBe(false);
    const [frames] = graphs?.querySelectorAll("svg[role=img]") ?? [];
    expect(frames?.getAttribute("aria-label")).toMatch("20 fps, 20 fps to 30 fps");
    expect(frames?.querySelector("path")?.getAttribute("d")).toMatch(/^M59.00 .*L60.00 /);
  });
});
