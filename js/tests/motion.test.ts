import { describe, expect, test } from "vitest";

import { PictureRate, PictureRates, rateText, spanText } from "../src/motion";

/** Frames every `period_ms` from `from_ms` on, which repeat each picture so many times. */
function see(
  rate: Pick<PictureRate, "see">,
  { from_ms = 0, until_ms = 10_000, period_ms = 1000, repeats = 1, picture = 0, step = 1 },
) {
  let frame = 0;
  for (let at_ms = from_ms; at_ms < until_ms; at_ms += period_ms) {
    const number = picture + step * Math.floor(frame / repeats);
    const rtpTimestamp = Math.ceil((at_ms * 90) / 32) * 32 + (number % 32);
    rate.see({ rtpTimestamp, expectedDisplayTime: at_ms });
    frame += 1;
  }
  return picture + step * Math.floor((frame - 1) / repeats);
}

describe("the rate", () => {
  test.each([
    [1000 / 30, 1, 30],
    [1000 / 6, 3, 2], // each of two pictures a second is shown three times
    [1000, 2, 0.5],
  ])("of frames every %d ms that show each picture %d times", (period_ms, repeats, fps) => {
    const rate = new PictureRate();
    see(rate, { period_ms, repeats });
    expect(rate.read(10_000, null)?.fps).toBeCloseTo(fps, fps > 10 ? 0 : 1);
    expect(rate.read(10_000, null)?.rest_ms).toBeNull();
  });

  test("counts the pictures that this view was not sent", () => {
    const rate = new PictureRate();
    see(rate, { period_ms: 100, step: 3 });
    expect(rate.read(10_000, null)?.fps).toBeCloseTo(30, 0);
  });

  test("is not known where the browser does not say which frame it shows", () => {
    const rate = new PictureRate();
    rate.see({ expectedDisplayTime: 0 });
    expect(rate.read(1000, null)).toBeNull();
  });

  test("is written with a digit more if the source is slow", () => {
    expect([30.2, 2.1, 1, 0.5].map(rateText)).toEqual(["30", "2", "1", "0.5"]);
  });
});

describe("a source at rest", () => {
  test("is known by repeats of one picture", () => {
    const rate = new PictureRate();
    const picture = see(rate, { until_ms: 5000, period_ms: 50 });
    see(rate, { from_ms: 5000, until_ms: 12_000, repeats: 99, picture });
    expect(rate.read(12_000, null)?.rest_ms).toBeCloseTo(12_000 - 4950, 0);
    expect(rate.read(12_000, null)?.fps).toBe(0);
  });

  test("is not one that is only slow", () => {
    const rate = new PictureRate();
    see(rate, { until_ms: 40_000, repeats: 5 });
    expect(rate.read(39_900, null)).toMatchObject({ rest_ms: null });
    expect(rate.read(39_900, null)?.fps).toBeCloseTo(0.2, 1);
  });

  test("rests since before this view came, if the kernel says so", () => {
    const rate = new PictureRate();
    see(rate, { from_ms: 60_000, until_ms: 62_000, repeats: 99 });
    expect(rate.read(62_000, null)).toEqual({ fps: 0, rest_ms: null });
    expect(rate.read(62_000, 2000)).toEqual({ fps: 0, rest_ms: 60_000 });
  });

  test("begins again with a rate of its own", () => {
    const rate = new PictureRate();
    const picture = see(rate, { until_ms: 20_000, repeats: 99 });
    see(rate, { from_ms: 20_000, until_ms: 21_000, period_ms: 100, picture: picture + 1 });
    expect(rate.read(21_000, null)?.fps).toBeCloseTo(10, 0);
  });

  test("is not known of a time when nobody looked", () => {
    const rate = new PictureRate();
    const picture = see(rate, { until_ms: 2000 });
    expect(rate.read(30_000, null)).toEqual({ fps: 0, rest_ms: null });
    see(rate, { from_ms: 30_000, until_ms: 31_000, repeats: 99, picture: picture + 7 });
    expect(rate.read(31_000, 29_000)).toEqual({ fps: 0, rest_ms: null });
  });

  test("has a time that can be read", () => {
    expect([12_345, 240_000, 8_000_000].map(spanText)).toEqual(["12 s", "4 min", "2 h"]);
  });
});

describe("several ranks", () => {
  function ranks(): PictureRates {
    const rates = new PictureRates();
    const of = (tile: number) => ({
      see: (frame: Parameters<PictureRate["see"]>[0]) => rates.see(frame, tile),
    });
    see(of(0), { period_ms: 100 });
    see(of(3), { period_ms: 500 });
    const picture = see(of(5), { until_ms: 2000, period_ms: 50 });
    see(of(5), { from_ms: 2000, repeats: 99, picture });
    return rates;
  }

  test("are as fast as the fastest of them", () => {
    expect(ranks().read(10_000, null)?.fps).toBeCloseTo(10, 0);
    expect(ranks().read(10_000, null)?.rest_ms).toBeNull();
    expect(new PictureRates().read(10_000, null)).toBeNull();
  });

  test("rest each for itself", () => {
    const rates = ranks();
    expect([0, 3, 9].map((tile) => rates.rest_ms(tile, 10_000))).toEqual([null, null, null]);
    expect(rates.rest_ms(5, 10_000)).toBeCloseTo(8050, 0);
  });

  test("rest together since the last new picture of any", () => {
    const rates = new PictureRates();
    const frames = (tile: number, until_ms: number) => {
      for (let at_ms = 0; at_ms < 9000; at_ms += 500) {
        const number = Math.min(at_ms, until_ms) / 500;
        rates.see({ rtpTimestamp: at_ms * 96 + number, expectedDisplayTime: at_ms }, tile);
      }
    };
    frames(0, 1000);
    frames(1, 2000);
    expect(rates.read(9000, null)).toEqual({ fps: 0, rest_ms: 7000 });
  });
});
