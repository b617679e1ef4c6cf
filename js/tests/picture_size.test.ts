import { expect, test } from "vitest";

import { pictureSize } from "../src/picture_size";

const HD = { width: 1280, height: 720 };

test("a video is the picture until the media process says more", () => {
  expect(pictureSize(HD, null)).toEqual({ ...HD, scale: 1 });
  expect(pictureSize(HD, HD)).toEqual({ ...HD, scale: 1 });
});

test.each([
  [{ width: 640, height: 360 }, 2],
  [{ width: 320, height: 180 }, 4],
])("a copy of %j keeps the size of the picture", (video, scale) => {
  expect(pictureSize(video, HD)).toEqual({ ...HD, scale });
});

test("a copy of an odd half has even sides", () => {
  const said = { width: 450, height: 254 };
  expect(pictureSize({ width: 224, height: 126 }, said)).toEqual({ ...said, scale: 2 });
});

test("a picture of another shape is a new one", () => {
  const video = { width: 640, height: 480 };
  expect(pictureSize(video, HD)).toEqual({ ...video, scale: 1 });
});
