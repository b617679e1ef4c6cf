// The size of the stream's picture, of which a view on a slow link gets a smaller copy. Pure.

export interface Size {
  readonly width: number;
  readonly height: number;
}

export interface PictureSize extends Size {
  /** The picture's sides are so many times the video's: 1, 2 or 4. */
  readonly scale: number;
}

/** A smaller copy has even sides. */
const ROUNDING = 2;

/** Returns the picture's size, from the video's and from what the media process said last. */
export function pictureSize(video: Size, said: Size | null): PictureSize {
  const is_near = (side: number, whole: number, scale: number) =>
    Math.abs(side - whole / scale) <= ROUNDING;
  const scale = [1, 2, 4].find(
    (scale) =>
      said !== null &&
      is_near(video.width, said.width, scale) &&
      is_near(video.height, said.height, scale),
  );
  // Otherwise the stream has just changed its size.
  if (said === null || scale === undefined) return { ...video, scale: 1 };
  return { width: said.width, height: said.height, scale };
}
