// The picture on the whole screen.

/** Enlarges the picture, or makes it small again. */
export function toggleFullscreen(stage: HTMLElement): void {
  const is_small = document.fullscreenElement === null;
  const done = is_small ? stage.requestFullscreen() : document.exitFullscreen();
  // The browser or the embedding page may refuse; the picture stays as it is.
  done.catch(() => undefined);
}
