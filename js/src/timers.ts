// Timers that end with an AbortSignal, so that nothing has to remember to clear them.

/** Calls `action` in `delay_ms` unless `stop` is aborted or the returned function called before. */
export function after(delay_ms: number, action: () => void, stop: AbortSignal): () => void {
  const timer = setTimeout(action, delay_ms);
  const cancel = () => clearTimeout(timer);
  stop.addEventListener("abort", cancel, { once: true });
  if (stop.aborted) cancel();
  return cancel;
}

/** Calls `action` every `period_ms`, first one period from now, until `stop` is aborted. */
export function every(period_ms: number, action: () => void, stop: AbortSignal): void {
  if (stop.aborted) return;
  const timer = setInterval(action, period_ms);
  stop.addEventListener("abort", () => clearInterval(timer), { once: true });
}

/** A wait that can be cut short. */
export interface Pause {
  /** Calls the action now, if it has not been called yet; tells whether it did. */
  end(): boolean;
}

/** Calls `action` once, in `delay_ms`, unless `stop` is aborted; a tab that nobody sees waits on. */
export function pause(delay_ms: number, action: () => void, stop: AbortSignal): Pause {
  let is_over = false;
  const end = () => {
    if (is_over || stop.aborted) return false;
    is_over = true;
    cancel();
    action();
    return true;
  };
  const cancel = after(delay_ms, () => document.hidden || end(), stop);
  return { end };
}
