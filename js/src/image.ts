// A canvas from an image file: a still, an earlier picture, or a part of the present one.

/** Of an image that is decoded at all. */
export const MAX_PIXELS = 2 ** 25;

/**
 * Decodes an image onto a canvas, whose size it gives it.
 *
 * @param isWanted Asked when it is decoded.
 * @returns The canvas; null if the image is broken, too large, or not wanted any more.
 */
export async function decodeOnto(
  canvas: HTMLCanvasElement,
  image: Blob,
  isWanted: () => boolean,
): Promise<HTMLCanvasElement | null> {
  // As it is: some browsers would adapt its colours to the screen.
  const options = { colorSpaceConversion: "none" } as const;
  const bitmap = await createImageBitmap(image, options).catch(() => null);
  if (bitmap === null) return null;
  if (bitmap.width * bitmap.height > MAX_PIXELS || !isWanted()) {
    bitmap.close();
    return null;
  }
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  canvas.getContext("bitmaprenderer")?.transferFromImageBitmap(bitmap);
  return canvas;
}
