import { describe, expect, test } from "vitest";

import { IceServers, parseUrl } from "../src/ice_servers";

const UDP = "turn:turn.example:3478";
const TCP = "turn:turn.example:3478?transport=tcp";
const TLS = "turns:turn.example";
const STUN = "stun:stun.example";

const relay = (url: string | null, relayProtocol: string | null = null) =>
  ({ type: "relay", url, relayProtocol }) as const;
const refusal = (url: string, errorCode: number, errorText = "") => ({ url, errorCode, errorText });
const problems = (servers: IceServers) => servers.problems.map(({ problem }) => problem);

describe("a URL", () => {
  test.each([
    ["turn:turn.example", "turn", "turn.example", 3478, "udp"],
    ["turn:turn.example?transport=tcp", "turn", "turn.example", 3478, "tcp"],
    ["TURNS:Turn.example:443", "turns", "turn.example", 443, "tcp"],
    ["turns:turn.example", "turns", "turn.example", 5349, "tcp"],
    ["turn:[2001:db8::9]:3478?transport=udp", "turn", "2001:db8::9", 3478, "udp"],
    ["turn:2001:db8::9:3478?transport=udp", "turn", "2001:db8::9", 3478, "udp"],
    ["stun:[2001:db8::9]", "stun", "2001:db8::9", 3478, "udp"],
  ])("%s is parsed and its defaults are filled in", (url, scheme, host, port, transport) => {
    expect(parseUrl(url)).toEqual({ scheme, host, port, transport });
  });
});

describe("a server that refuses", () => {
  test("is named at once, with the reason", () => {
    const servers = new IceServers([UDP]);
    servers.failed(refusal("turn:turn.example:3478?transport=udp", 401, "Unauthorized."));
    expect(servers.problems).toEqual([
      {
        source: "turn",
        problem: `the TURN server ${UDP} refuses the username or credential (401 Unauthorized)`,
        expected: "a username and credential that the server knows and that have not expired",
        fix: expect.stringMatching("GPUVIEW_TURN_CREDENTIAL"),
      },
    ]);
  });

  test.each([
    [
      486,
      "Allocation Quota Reached",
      "has no room for another relay (486 Allocation Quota Reached)",
    ],
    [508, "Cannot create socket", "has no room for another relay (508 Cannot create socket)"],
    [403, "Forbidden", "refuses (403 Forbidden)"],
    [441, "", "refuses the username or credential (441)"],
  ])("with error %i has its own message", (code, text, said) => {
    const servers = new IceServers([UDP]);
    servers.failed(refusal(UDP, code, text));
    expect(problems(servers)).toEqual([`the TURN server ${UDP} ${said}`]);
  });

  test("is found by scheme, port and transport if the browser has resolved its name", () => {
    const servers = new IceServers([UDP, TCP]);
    servers.failed(refusal("turn:198.18.0.10:3478?transport=tcp", 401));
    expect(servers.notes).toEqual([
      { url: UDP, note: "no reply yet" },
      { url: TCP, note: "refused" },
    ]);
  });

  test("is not confused with a server of another name", () => {
    const servers = new IceServers([STUN, UDP]);
    // As Chromium says of a TURN server's name that does not resolve, too.
    servers.failed(refusal("stun:turn.example:3478", 701, "STUN host lookup received error."));
    expect(servers.notes[0]?.note).toBe("no reply yet");
  });

  test("through one network card and gives a relay through another works", () => {
    const servers = new IceServers([UDP]);
    servers.failed(refusal(UDP, 401));
    servers.replied(relay("turn:turn.example:3478?transport=udp", "udp"));
    servers.failed(refusal(UDP, 401));
    expect(servers.problems).toEqual([]);
  });

  test("stays named if some other, unknown server gives a relay", () => {
    const servers = new IceServers([UDP, "turn:other.example"]);
    servers.failed(refusal(UDP, 401));
    servers.replied(relay(null));
    expect(servers.notes.map(({ note }) => note)).toEqual([
      "refused",
      "this server or another has replied",
    ]);
  });

  test("is ignored if this page was not given it", () => {
    const servers = new IceServers([UDP]);
    servers.failed(refusal("turn:other.example:1?transport=udp", 401));
    expect(servers.problems).toEqual([]);
  });

  test("cannot make its reason as long as it likes", () => {
    const servers = new IceServers([UDP]);
    servers.failed(refusal(UDP, 400, "x".repeat(9999)));
    expect(problems(servers)[0]?.length).toBeLessThan(200);
  });
});

describe("a server that says nothing", () => {
  test("is called silent after the timeout, each by its URL", () => {
    const servers = new IceServers([UDP, TCP]);
    servers.replied(relay("turn:turn.example:3478?transport=tcp", "tcp"));
    expect(servers.problems).toEqual([]);
    servers.overdue();
    expect(problems(servers)).toEqual([`the TURN server ${UDP} has not replied`]);
  });

  test("is forgiven when it gives a relay after all", () => {
    const servers = new IceServers([UDP]);
    servers.overdue();
    servers.replied(relay("turn:turn.example:3478?transport=udp"));
    expect(servers.problems).toEqual([]);
  });

  test("or cannot be reached is reported after the timeout, with the browser's reason", () => {
    const servers = new IceServers([TLS]);
    servers.failed(refusal("turns:turn.example:5349?transport=tcp", 701, "Failed to connect"));
    expect(servers.problems).toEqual([]);
    servers.overdue();
    expect(problems(servers)).toEqual([
      `the TURN server ${TLS} could not be reached (701 Failed to connect)`,
    ]);
    expect(servers.problems[0]?.expected).toMatch("a certificate that this browser trusts");
  });

  test("is not blamed if the browser was connected and stopped asking", () => {
    const servers = new IceServers([UDP]);
    servers.skipRest();
    servers.overdue();
    expect(servers.problems).toEqual([]);
    expect(servers.notes[0]?.note).toMatch("before the browser found another route");
  });

  test("is not silent if it has redirected the browser to another server", () => {
    const servers = new IceServers([UDP, TCP]);
    servers.replied(relay("turn:alternate.example:3478?transport=udp", "udp"));
    servers.overdue();
    expect(problems(servers)).toEqual([`the TURN server ${TCP} has not replied`]);
  });

  test("is reported as STUN if it is a STUN server", () => {
    const servers = new IceServers([STUN]);
    servers.overdue();
    expect(servers.problems).toMatchObject([{ source: "stun" }]);
    servers.replied({ type: "srflx", url: null, relayProtocol: null });
    expect(servers.problems).toEqual([]);
  });

  test("may be a STUN server with the same reply as another", () => {
    const servers = new IceServers([STUN, "stun:other.example"]);
    servers.replied({ type: "srflx", url: "stun:other.example:3478", relayProtocol: null });
    servers.overdue();
    expect(servers.notes.map(({ note }) => note)).toEqual([
      "this server or another has replied",
      "replied",
    ]);
    expect(servers.problems).toEqual([]);
  });

  test("is told from others by the transport of a relay without URL, if possible", () => {
    const servers = new IceServers([UDP, TCP, TLS]);
    servers.overdue();
    servers.replied(relay(null, "tls"));
    servers.replied(relay("", "tcp"));
    expect(problems(servers)).toEqual([`the TURN server ${UDP} has not replied`]);
    servers.replied(relay(null));
    expect(servers.problems).toEqual([]);
    const notes = servers.notes.map(({ note }) => note);
    expect(notes).toEqual(["this server or another has replied", "replied", "replied"]);
  });
});

describe("relays", () => {
  test("are lost when every TURN server refuses", () => {
    const servers = new IceServers([UDP, TCP, STUN]);
    servers.failed(refusal(UDP, 401));
    expect(servers.areRelaysLost(false)).toBe(false);
    servers.failed(refusal(TCP, 486));
    expect(servers.areRelaysLost(false)).toBe(true);
  });

  test("may still come through another network card, or from a slow server", () => {
    const servers = new IceServers([UDP, TCP]);
    servers.failed(refusal(TCP, 701));
    servers.overdue();
    expect(servers.areRelaysLost(false)).toBe(false);
  });

  test("are lost after the timeout if the browser has ended gathering without one", () => {
    const servers = new IceServers([UDP]);
    expect(servers.areRelaysLost(true)).toBe(false);
    servers.overdue();
    expect(servers.areRelaysLost(true)).toBe(true);
  });

  test("are lost if there is no TURN server", () => {
    expect(new IceServers([STUN]).areRelaysLost(false)).toBe(true);
  });
});
