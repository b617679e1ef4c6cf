// The link to the page that shows one stream and nothing else.

/** Whether the page is there for this browser's user: the server may not have the extension. */
export async function isThere(url: string): Promise<boolean> {
  try {
    // A login page or another kernel's refusal is not what the link promises.
    const reply = await fetch(url, { method: "GET", cache: "no-store", redirect: "error" });
    return reply.ok;
  } catch {
    return false;
  }
}

/** Puts text on the clipboard, also on a plain http page. Returns whether that worked. */
export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text); // Only secure pages have a clipboard.
  }
}

function copyBySelection(text: string): boolean {
  const field = document.createElement("textarea");
  field.value = text;
  field.style.position = "fixed"; // Otherwise the page scrolls to it.
  const focused = document.activeElement;
  document.body.append(field);
  field.select();
  const is_copied = document.execCommand("copy");
  field.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return is_copied;
}
