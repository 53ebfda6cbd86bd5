// The way around a network that refuses WebSockets: one EventSource per generation. The browser resumes it by itself.

const TYPES = [
  "message.started", "token.delta", "reasoning.delta", "tool.call.started", "tool.call.completed",
  "block.open", "block.html", "message.restarted", "message.snapshot", "message.completed", "message.error",
];
const LAST = new Set(["message.completed", "message.error"]);

/**
 * @param {string} stream generation id @param {string|null} after last event id applied
 * @param {(event: any) => void} deliver
 * @returns {() => void} closes it
 */
export function followByEventSource(stream, after, deliver) {
  const query = new URLSearchParams({ render: "html" });
  if (after) query.set("last_event_id", after);
  const source = new EventSource(`/v1/chat/streams/${stream}?${query}`);
  for (const type of TYPES) {
    source.addEventListener(type, (message) => {
      deliver(JSON.parse(message.data));
      if (LAST.has(type)) source.close();
    });
  }
  return () => source.close();
}
