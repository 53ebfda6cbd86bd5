// HTTP with the page's tenant and CSRF token on it.

/** An answer that is not 2xx, in the shape of a problem body. */
export class Refused extends Error {
  /** @param {number} status @param {{code?: string, detail?: string, title?: string, retryable?: boolean}} problem */
  constructor(status, problem) {
    super(problem.detail || problem.title || "The server refused.");
    this.status = status;
    this.code = problem.code || "";
    this.retryable = problem.retryable ?? status >= 500;
  }
}

/** @returns {Record<string, string>} */
function identity() {
  const { csrfToken = "", tenantId = "" } = document.body.dataset;
  return { "X-CSRFToken": csrfToken, "X-Switchboard-Tenant": tenantId };
}

/**
 * @param {string} url
 * @param {object|null} [body] sent as JSON
 * @param {Record<string, string>} [headers]
 * @returns {Promise<any>} the JSON answer, null when empty
 */
export function post(url, body = null, headers = {}) {
  return send("POST", url, body, headers);
}

/** @param {string} url @param {object} body @returns {Promise<any>} the JSON answer */
export function patch(url, body) {
  return send("PATCH", url, body, {});
}

/** @param {string} method @param {string} url @param {object|null} body @param {Record<string, string>} headers */
async function send(method, url, body, headers) {
  const response = await fetch(url, {
    method,
    headers: { ...identity(), Accept: "application/json", ...(body ? { "Content-Type": "application/json" } : {}), ...headers },
    body: body ? JSON.stringify(body) : undefined,
  });
  const isJson = (response.headers.get("Content-Type") || "").includes("json");
  const answer = isJson ? await response.json() : null;
  if (!response.ok) throw new Refused(response.status, answer || {});
  return answer;
}

/** @param {string} url @returns {Promise<DocumentFragment>} */
export async function fetchFragment(url) {
  const response = await fetch(url, { headers: { ...identity(), "HX-Request": "true" } });
  if (!response.ok) throw new Refused(response.status, {});
  const elsewhere = response.headers.get("HX-Redirect"); // signed out since
  if (elsewhere) location.assign(elsewhere);
  const template = document.createElement("template");
  template.innerHTML = await response.text();
  return template.content;
}
