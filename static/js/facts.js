// The figures under an answer, worded as the server words them (apps/conversations/edge/answer_views.py).

const NANOUSD = 1_000_000_000;

/** @param {number} ms */
export function seconds(ms) {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}

/** @param {number} nanousd */
export function cost(nanousd) {
  if (nanousd === 0) return "Free";
  const usd = nanousd / NANOUSD;
  if (usd < 0.0001) return "< $0.0001";
  return `$${usd.toFixed(usd < 0.01 ? 4 : usd < 1 ? 3 : 2)}`;
}

/**
 * @typedef {object} Ended
 * @property {{input_tokens?: number, output_tokens?: number, estimated?: boolean}} [usage]
 * @property {{nanousd?: number}} [cost]
 * @property {{first_token_ms?: number|null}} [timings]
 * @property {{model?: string, answered_by?: {slug: string, name: string}|null, candidates?: {simulated?: boolean}[], cache?: object|null}} [route]
 */

/** @param {Ended} event the terminal event @returns {string[]} */
export function facts({ usage, cost: price, timings, route }) {
  const lines = [];
  // Where it is not the one on top: a policy chose it, or another had to step in.
  if (route?.answered_by && route.answered_by.slug !== route.model) lines.push(route.answered_by.name);
  if (route?.cache) lines.push("Served from cache");
  if (timings?.first_token_ms != null) lines.push(`${seconds(timings.first_token_ms)} to first token`);
  if (usage?.input_tokens) {
    const about = usage.estimated ? "about " : "";
    lines.push(`${about}${count(usage.input_tokens)} in, ${count(usage.output_tokens ?? 0)} out`);
  }
  if (usage?.input_tokens && price?.nanousd != null) {
    const isSimulated = route?.candidates?.some((candidate) => candidate.simulated);
    lines.push(cost(price.nanousd) + (isSimulated ? ", simulated" : ""));
  }
  return lines;
}

/** @param {number} number */
function count(number) {
  return number.toLocaleString("en");
}
