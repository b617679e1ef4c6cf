// The picture as a PNG file: what is on the screen, pixel for pixel.

import { draw, type Screen } from "../player";

/** Saves a picture as a download. Returns whether the browser could encode it. */
export async function save(screen: Screen, now: Date): Promise<boolean> {
  const blob = await encode(screen);
  if (blob === null) return false;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = fileName(now);
  link.click();
  // Not at once: some browsers read it after the click.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  return true;
}

/** As in "gpuview-2026-11-26-09-05-07.png", in local time. */
export function fileName(now: Date): string {
  const parts = [
    now.getFullYear(),
    now.getMonth() + 1,
    now.getDate(),
    now.getHours(),
    now.getMinutes(),
    now.getSeconds(),
  ];
  return `gpuview-${parts.map((part) => String(part).padStart(2, "0")).join("-")}.png`;
}

function encode(screen: Screen): Promise<Blob | null> {
  const canvas = screen instanceof HTMLVideoElement ? draw(screen) : screen;
  // Throws at once for a canvas without pixels.
  return new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/png")).catch(
    () => null,
  );
}
