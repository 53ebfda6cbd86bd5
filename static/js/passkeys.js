// Says in words why a passkey was not made or not taken, and hides the offer where the browser knows none.
const REASONS = {
  NotAllowedError: "Nothing was chosen in time, or it was cancelled. Try again.",
  InvalidStateError: "This device is already among your passkeys.",
  SecurityError: "Passkeys need an address with a name and https, or localhost. This page has neither.",
  NotSupportedError: "This device cannot make the kind of passkey that is needed.",
};

document.addEventListener("allauth.error", (event) => {
  const { detail } = /** @type {CustomEvent} */ (event);
  if (!detail.tags.includes("webauthn")) return;
  event.preventDefault();
  const note = document.getElementById("passkey-failed");
  note.querySelector("span").textContent = REASONS[detail.exception?.name] ?? "The passkey did not work. Try again.";
  note.hidden = false;
});

if (!window.PublicKeyCredential) {
  for (const id of ["passkey_login", "mfa_webauthn_authenticate"]) document.getElementById(id)?.remove();
}
