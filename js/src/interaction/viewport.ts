// Which part of the picture is seen. Pure. Places are shares of the picture's sides, from its upper
// left corner.

export interface Place {
  readonly x: number;
  readonly y: number;
}

export interface Part extends Place {
  readonly width: number;
  readonly height: number;
}

/** Where the picture is on the page, in CSS pixels. */
export interface Area {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

export const WHOLE: Part = { x: 0, y: 0, width: 1, height: 1 };

/** Enough for an element of the largest map to be a centimetre wide. */
const MAX_ZOOM = 2048;

export const zoomOf = (part: Part): number => 1 / part.width;

/** Zooms so that what is at a place stays there. */
export function zoomed(part: Part, factor: number, at: Place): Part {
  const side = Math.min(1, Math.max(1 / MAX_ZOOM, part.width / factor));
  const kept = side / part.width;
  return within(at.x - (at.x - part.x) * kept, at.y - (at.y - part.y) * kept, side);
}

/** Moves by shares of the picture's sides. */
export function moved(part: Part, dx: number, dy: number): Part {
  return within(part.x + dx, part.y + dy, part.width);
}

/** Returns the place below a point of the page, which may be outside of the picture. */
export function placeAt(part: Part, area: Area, x: number, y: number): Place {
  return {
    x: part.x + ((x - area.left) / area.width) * part.width,
    y: part.y + ((y - area.top) / area.height) * part.height,
  };
}

/** Whether a place is in the picture. */
export function isInside({ x, y }: Place): boolean {
  return x >= 0 && x < 1 && y >= 0 && y < 1;
}

/** Returns a part as shares of another one, such as of the part that is seen. */
export function relative(part: Part, to: Part): Part {
  return {
    x: (part.x - to.x) / to.width,
    y: (part.y - to.y) / to.height,
    width: part.width / to.width,
    height: part.height / to.height,
  };
}

/** Returns where a picture of some sides is in a box that it fits into, as `object-fit: contain`. */
export function contained(box: Area, width: number, height: number): Area {
  const scale = Math.min(box.width / width, box.height / height);
  const [w, h] = [width * scale, height * scale];
  return {
    left: box.left + (box.width - w) / 2,
    top: box.top + (box.height - h) / 2,
    width: w,
    height: h,
  };
}

function within(x: number, y: number, side: number): Part {
  const clamp = (at: number) => Math.min(Math.max(at, 0), 1 - side);
  return { x: clamp(x), y: clamp(y), width: side, height: side };
}
