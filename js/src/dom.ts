// Creates elements.

export function element(tag: string, className: string, text = ""): HTMLElement {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

/** A button that shows a picture; CSS gives it by `className`. */
export function iconButton(
  className: string,
  label: string,
  onClick: () => void,
): HTMLButtonElement {
  const made = button(`gpuview-icon ${className}`, "", onClick);
  made.title = made.ariaLabel = label;
  return made;
}

export function button(className: string, text: string, onClick: () => void): HTMLButtonElement {
  const made = document.createElement("button");
  made.type = "button";
  made.className = className;
  made.textContent = text;
  made.addEventListener("click", onClick);
  return made;
}
