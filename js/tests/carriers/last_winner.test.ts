import { afterEach, expect, test, vi } from "vitest";

import { recall, remember } from "../../src/carriers/last_winner";

afterEach(() => vi.unstubAllGlobals());

function stubStorage(items: Record<string, string> = {}) {
  vi.stubGlobal("localStorage", {
    getItem: (key: string) => items[key] ?? null,
    setItem: (key: string, value: string) => (items[key] = value),
  });
}

test("what won is remembered", () => {
  stubStorage();
  expect(recall()).toBeNull();
  remember("socket");
  expect(recall()).toBe("socket");
});

test("what somebody else wrote is nothing", () => {
  stubStorage({ "gpuview-carrier": "pigeon" });
  expect(recall()).toBeNull();
});

test("a page that may not store anything remembers nothing", () => {
  vi.stubGlobal("localStorage", undefined);
  expect(() => remember("comm")).not.toThrow();
  expect(recall()).toBeNull();
});
