// Timers that end with an AbortSignal, so that nothing has to remember to clear them.

/** Calls `action` in `delay_ms` unless `stop` is aborted or the returned function called before. */
export function after(delay_ms: number, action: () => void, stop: AbortSignal): () => void {
  const cancel = () => {
    clearTimeout(timer);
    stop.removeEventListener("abort", cancel); // It may live for days yet.
  };
  const finish = () => {
    cancel();
    action();
  };
  const timer = setTimeout(finish, delay_ms);
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
