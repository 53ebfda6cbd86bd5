#!/bin/sh
# Prints secrets for compose.yaml: sh deploy/make-env.sh > deploy/.env
# Each run prints others. Keep the file: without it the stored provider keys cannot be read again.
set -eu

hex() { head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'; }

for name in POSTGRES_PASSWORD OWNER_PASSWORD APP_PASSWORD ENGINE_PASSWORD REDIS_PASSWORD SECRET_KEY API_KEY_PEPPER; do
  echo "$name=$(hex)"
done
# 32 random bytes, in the alphabet of URLs.
for name in VAULT_KEYS JWT_KEYS; do
  echo "$name=k1:$(head -c 32 /dev/urandom | base64 | tr '+/' '-_')"
done
# An RSA key, for programs that people sign in to; empty where there is no openssl, and then there is no such sign-in.
OAUTH_SIGNING_KEYS=$(openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -outform DER 2>/dev/null | base64 | tr -d '\n')
echo "OAUTH_SIGNING_KEYS=$OAUTH_SIGNING_KEYS"
cat <<'SETTINGS'
# Where people reach it. Over HTTPS: https://chat.example, chat.example.
BASE_URL=http://127.0.0.1:8000
ALLOWED_HOSTS=localhost
# 1: cookies over HTTPS only. Empty: so where BASE_URL begins with https://.
SECURE_COOKIES=
# The server before it, whose X-Forwarded-For is believed: an address, a network, or several with commas.
TRUSTED_PROXIES=
# What the host listens on; put a server that speaks HTTPS before it. Address and port of the host.
LISTEN=127.0.0.1:8000
SETTINGS
