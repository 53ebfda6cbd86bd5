"""Heads of the audit chains, signed and written outside of the database once an hour.

A chain proves that nothing inside it changed; it cannot prove its own end, and who may write every row can write the
whole chain anew. What was written down elsewhere shows both. A file per month (`heads-2026-11.jsonl`), one JSON object
per line; each line carries the hash of the line before it. Each month's file begins with the heads of all chains, so
earlier files may be removed.
"""

import fcntl
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from django.db import connections

from apps.tenants.audit_chain import Head

INSTALLATION = "installation"
_PURPOSE = b"switchboard audit heads 1"
_FIRST = "0" * 64


@dataclass(frozen=True, slots=True)
class HeadsFault:
    """A line of a file of heads that proves nothing. `line` counts from 1."""

    path: Path
    line: int
    told: str


@dataclass(frozen=True, slots=True)
class KnownHeads:
    """What files of heads say, by chain (a tenant's id, or `installation`) and number; and lines that are not sound."""

    chains: Mapping[str, Mapping[int, Head]]
    lines: int
    faults: tuple[HeadsFault, ...]


def chain_name(tenant_id: UUID | None) -> str:
    return str(tenant_id) if tenant_id is not None else INSTALLATION


def folder() -> Path:
    return Path(settings.AUDIT_HEADS_DIR)


def files() -> list[Path]:
    """The files of heads, the earliest first."""
    return sorted(folder().glob("heads-????-??.jsonl"))


def public_key() -> str:
    """What checks this installation's signatures: 32 bytes in hexadecimal. No secret."""
    return _public_text(_signing_key().public_key())


def write_heads() -> int:
    """Append the heads that moved since they were last written (all in a month's first run), and return how many.

    The installation's chain is written each time, so that a gap in the hours shows. Older files than
    `AUDIT_HEADS_MONTHS` are removed. Lines are on the disk before this returns; one that a crash cut short is dropped.
    """
    now = datetime.now(UTC)
    path = folder() / f"heads-{now:%Y-%m}.jsonl"
    with _one_writer():
        known, previous = _last_lines(path)
        if previous is None:
            earlier = [found for found in files() if found < path]
            previous = _last_lines(earlier[-1])[1] if earlier else None
        lines = []
        for chain, seq, digest in _current_heads():
            if chain != INSTALLATION and known.get(chain) == (seq, digest):
                continue
            line = _signed_line(chain, seq, digest, now, previous or _FIRST)
            previous = sha256(line).hexdigest()
            lines.append(line + b"\n")
        _append(path, b"".join(lines))
        for old in files()[: -settings.AUDIT_HEADS_MONTHS]:
            old.unlink()
    return len(lines)


def read_heads(paths: Iterable[Path], *, trusted: Iterable[str] = ()) -> KnownHeads:
    """Every sound head in the files, which are read in the order given, and every line that is not sound.

    A line must be signed by this installation's key, by one of `AUDIT_PUBLIC_KEYS`, or by one of `trusted`.
    Raises OSError for a file that cannot be read.
    """
    keys = {_key_id(text): Ed25519PublicKey.from_public_bytes(bytes.fromhex(text)) for text in _trusted(trusted)}
    chains: defaultdict[str, dict[int, Head]] = defaultdict(dict)
    faults: list[HeadsFault] = []
    count, previous = 0, None
    for path in paths:
        for number, line in enumerate(_lines(path), start=1):
            count += 1
            try:
                chain, head = _checked(line, keys, previous)
                if chains[chain].setdefault(head.seq, head).hash != head.hash:
                    raise ValueError(f"another hash was written for entry {head.seq} of {chain} before")
            except ValueError as error:
                faults.append(HeadsFault(path, number, str(error)))
            previous = sha256(line).hexdigest()
    return KnownHeads(chains, count, tuple(faults))


def _checked(line: bytes, keys: Mapping[str, Ed25519PublicKey], previous: str | None) -> tuple[str, Head]:
    """Raises ValueError, saying what is wrong with the line."""
    try:
        told: dict[str, Any] = json.loads(line)
        chain, seq, digest = str(told["chain"]), int(told["seq"]), bytes.fromhex(told["hash"])
        key, signature = str(told["key"]), bytes.fromhex(told["signature"])
        at, follows = str(told["at"]), str(told["previous"])
    except (ValueError, TypeError, KeyError):
        raise ValueError("not a head") from None
    if key not in keys:
        raise ValueError(f"signed with the key {key}, which is not known here: name it in AUDIT_PUBLIC_KEYS")
    try:
        keys[key].verify(signature, _PURPOSE + _told(chain, seq, digest, at, key, follows))
    except InvalidSignature:
        raise ValueError("the signature is not right: the line was changed") from None
    if previous is not None and follows != previous:
        raise ValueError("it does not follow the line before it: lines were removed or changed")
    return chain, Head(seq, digest, at)


def _signed_line(chain: str, seq: int, digest: bytes, at: datetime, previous: str) -> bytes:
    key = _signing_key()
    key_id = _key_id(_public_text(key.public_key()))
    told = _told(chain, seq, digest, f"{at:%Y-%m-%dT%H:%M:%SZ}", key_id, previous)
    return told[:-1] + b',"signature":"' + key.sign(_PURPOSE + told).hex().encode() + b'"}'


def _told(chain: str, seq: int, digest: bytes, at: str, key_id: str, previous: str) -> bytes:
    """What is signed: the line without its signature."""
    fields = {"chain": chain, "seq": seq, "hash": digest.hex(), "at": at, "key": key_id, "previous": previous}
    return json.dumps(fields, separators=(",", ":")).encode()


def _signing_key() -> Ed25519PrivateKey:
    """From AUDIT_SIGNING_KEY, else from SECRET_KEY, for this purpose alone."""
    secret = settings.AUDIT_SIGNING_KEY or settings.SECRET_KEY
    seed = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(secret.encode())
    return Ed25519PrivateKey.from_private_bytes(seed)


def _public_text(key: Ed25519PublicKey) -> str:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def _key_id(public_text: str) -> str:
    return sha256(bytes.fromhex(public_text)).hexdigest()[:16]


def _trusted(further: Iterable[str]) -> set[str]:
    return {public_key(), *settings.AUDIT_PUBLIC_KEYS, *further}


def _current_heads() -> Iterator[tuple[str, int, bytes]]:
    """(chain, number, hash) of each chain's last committed entry, the installation's first."""
    with connections["engine"].cursor() as cursor:
        cursor.execute(
            "SELECT tenant_id, seq, hash FROM tenants_auditentry WHERE tenant_id IS NULL ORDER BY seq DESC LIMIT 1"
        )
        yield from ((chain_name(tenant_id), seq, bytes(digest)) for tenant_id, seq, digest in cursor.fetchall())
        cursor.execute(
            "SELECT t.id, last.seq, last.hash FROM tenants_tenant t CROSS JOIN LATERAL (SELECT seq, hash FROM "
            "tenants_auditentry WHERE tenant_id = t.id ORDER BY seq DESC LIMIT 1) last ORDER BY t.id"
        )
        yield from ((chain_name(tenant_id), seq, bytes(digest)) for tenant_id, seq, digest in cursor.fetchall())


@contextmanager
def _one_writer() -> Iterator[None]:
    """The clock's task and a command may meet; the folder is for its owner alone."""
    folder().mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder() / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _last_lines(path: Path) -> tuple[dict[str, tuple[int, bytes]], str | None]:
    """Each chain's last head in a file, and the hash of the last line; nothing and None where there is no line."""
    known: dict[str, tuple[int, bytes]] = {}
    previous = None
    for line in _lines(path) if path.exists() else ():
        previous = sha256(line).hexdigest()
        try:
            told = json.loads(line)
            known[told["chain"]] = (told["seq"], bytes.fromhex(told["hash"]))
        except (ValueError, TypeError, KeyError):
            continue  # for verify_audit to tell of
    return known, previous


def _lines(path: Path) -> Iterator[bytes]:
    """Whole lines, without their ends. What follows the last end was cut short by a crash and is no line."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line[:-1]


def _append(path: Path, lines: bytes) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        with os.fdopen(descriptor, "r+b", closefd=False) as file:
            whole = file.seek(0, os.SEEK_END)
            file.seek(0)
            if whole and not _ends_a_line(file, whole):
                whole = sum(len(line) for line in file if line.endswith(b"\n"))
            file.truncate(whole)
            file.seek(whole)
            file.write(lines)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _ends_a_line(file: Any, whole: int) -> bool:
    file.seek(whole - 1)
    ends: bool = file.read(1) == b"\n"
    file.seek(0)
    return ends
