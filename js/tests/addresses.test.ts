import { describe, expect, test } from "vitest";

import table from "../../tests/data/private_addresses.json";
import { areNeighbours, endpoint, isPrivate, shortEndpoint } from "../src/addresses";

describe("an address", () => {
  test.each(Object.entries(table))("%s is private: %s, as in Python", (address, expected) => {
    expect(isPrivate(address)).toBe(expected);
  });

  test.each(["", "06a76f4d-6190.local", "10.0.0.1.example", "nonsense"])(
    "that is none is not private: %j",
    (text) => {
      expect(isPrivate(text)).toBe(false);
    },
  );

  test("is written with its port", () => {
    expect(endpoint("203.0.113.9", 5000)).toBe("203.0.113.9:5000");
    expect(endpoint("2001:db8::9", 5000)).toBe("[2001:db8::9]:5000");
    expect(shortEndpoint("06a76f4d-6190-4301.local", 1)).toBe("06a76f4d….local:1");
    expect(shortEndpoint("", 1)).toBe("hidden:1");
  });

  test("has neighbours in its own network", () => {
    expect(areNeighbours("192.168.77.2", "192.168.77.30")).toBe(true);
    expect(areNeighbours("192.168.77.2", "192.168.7.2")).toBe(false);
    expect(areNeighbours("06a76f4d.local", "192.168.77.2")).toBe(false);
    expect(areNeighbours("fd00::2", "fd00::3")).toBe(false);
  });
});
