"""Walking a chain of audit entries from its first to its last, and naming the first that is not as it was written."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from apps.tenants.audit import GENESIS, chain
from apps.tenants.audit_content import digest
from apps.tenants.models import AuditEntry

BATCH = 2_000  # entries in memory at a time
# How far around its place a moved entry is looked for, and how many hashes back an inserted one is.
_REACH = 5_000
_REMEMBERED = 1_000


class Fault(StrEnum):
    """What became of an entry."""

    CHANGED = "changed"  # its content is not what was hashed
    MISSING = "missing"  # it was there, and is not
    INSERTED = "inserted"  # it was put between two that were neighbours
    REORDERED = "reordered"  # it was written with another number
    REPLACED = "replaced"  # it, or the one before it, was written anew
    TRUNCATED = "truncated"  # the chain was longer when a head was written
    REWRITTEN = "rewritten"  # a head names another hash for it


@dataclass(frozen=True, slots=True)
class Break:
    """The first broken entry of a chain."""

    seq: int
    fault: Fault
    told: str


@dataclass(frozen=True, slots=True)
class Walked:
    """What a walk found: how many entries are sound, the last of them, and what ended the walk early."""

    entries: int
    last_hash: bytes
    broken: Break | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """A chain's last entry as it was written down outside of the database."""

    seq: int
    hash: bytes
    at: str


def walk(tenant_id: UUID | None, heads: Mapping[int, Head] | None = None) -> Walked:
    """Check a chain as `engine`, in batches: each entry's number, its content, that it follows the one before it, and
    the heads written of it. Entries appended meanwhile are checked too.
    """
    last = _Last()
    heads = heads or {}
    for entry in _entries(tenant_id):
        broken = last.fault_of(entry) or _against(heads.get(entry.seq), entry)
        if broken is not None:
            return Walked(last.seq, last.hash, broken)
        last.is_now(entry)
    highest = max(heads, default=0)
    broken = None
    if highest > last.seq:
        head = heads[highest]
        broken = Break(
            last.seq + 1,
            Fault.TRUNCATED,
            f"there are {last.seq} entries, but on {head.at} there were {head.seq}: the end was cut off",
        )
    return Walked(last.seq, last.hash, broken)


def _entries(tenant_id: UUID | None) -> Iterator[AuditEntry]:
    """By number, a page at a time: no long transaction, and as much memory for a million entries as for one page."""
    rows = chain(tenant_id).order_by("seq")
    page = list(rows[:BATCH])
    while page:
        yield from page
        page = list(rows.filter(seq__gt=page[-1].seq)[:BATCH])


def _against(head: Head | None, entry: AuditEntry) -> Break | None:
    if head is None or head.hash == bytes(entry.hash):
        return None
    return Break(
        entry.seq,
        Fault.REWRITTEN,
        f"entry {entry.seq} is sound in itself, but on {head.at} another one stood there: the chain was written anew",
    )


class _Last:
    """Where a walk stands: the last sound entry, and the hashes of some before it."""

    def __init__(self) -> None:
        self.seq = 0
        self.hash = GENESIS
        self._earlier: deque[tuple[int, bytes]] = deque([(0, GENESIS)], maxlen=_REMEMBERED)

    def is_now(self, entry: AuditEntry) -> None:
        self.seq, self.hash = entry.seq, bytes(entry.hash)
        self._earlier.append((self.seq, self.hash))

    def fault_of(self, entry: AuditEntry) -> Break | None:
        """What is wrong with the entry that comes next, if anything is."""
        expected = self.seq + 1
        sound = _is_sound(entry)
        follows = bytes(entry.previous_hash) == self.hash
        if entry.seq != expected:
            return self._wrong_number(entry, expected)
        if sound and follows:
            return None
        if sound:
            return self._does_not_follow(entry)
        written_as = _number_written(entry)
        if written_as is None:
            return Break(expected, Fault.CHANGED, f"entry {expected}: its content is not what was hashed")
        return self._moved(entry, written_as)

    def _wrong_number(self, entry: AuditEntry, expected: int) -> Break:
        if entry.seq < expected:
            return Break(entry.seq, Fault.INSERTED, f"entry {entry.seq} has a number that no chain gives")
        gone = f"entry {expected} is" if entry.seq == expected + 1 else f"entries {expected} to {entry.seq - 1} are"
        return Break(expected, Fault.MISSING, f"{gone} missing")

    def _does_not_follow(self, entry: AuditEntry) -> Break:
        """Sound in itself, with the right number, after another predecessor."""
        inserted = self._inserted_before(entry)
        if inserted is not None:
            return inserted
        return Break(
            entry.seq,
            Fault.REPLACED,
            f"entry {entry.seq} does not follow entry {entry.seq - 1}: one of the two was written anew",
        )

    def _moved(self, entry: AuditEntry, written_as: int) -> Break:
        """Written with another number: the entries around it were numbered anew."""
        inserted = self._inserted_before(entry)
        if inserted is not None:
            return inserted
        standing = chain(entry.tenant_id).filter(hash=bytes(entry.previous_hash)).exists()
        if written_as > entry.seq and not standing:
            return Break(
                entry.seq,
                Fault.MISSING,
                f"entry {entry.seq} is missing: what stands there was written as entry {written_as}",
            )
        return Break(entry.seq, Fault.REORDERED, f"entry {entry.seq} was written as entry {written_as}")

    def _inserted_before(self, entry: AuditEntry) -> Break | None:
        """Whether the entry follows one further back, so that what stands between was put there."""
        for seq, known in self._earlier:
            if known == bytes(entry.previous_hash) and seq < self.seq:
                return Break(
                    seq + 1,
                    Fault.INSERTED,
                    f"entry {seq + 1} was inserted: entry {entry.seq} was written as the one after entry {seq}",
                )
        return None


def _is_sound(entry: AuditEntry, seq: int | None = None) -> bool:
    try:
        return digest(entry, seq=seq) == bytes(entry.hash)
    except (TypeError, ValueError):  # content that no writer of ours stores
        return False


def _number_written(entry: AuditEntry) -> int | None:
    """The number an entry was hashed with, if only the number is not what it was."""
    around = range(max(1, entry.seq - _REACH), entry.seq + _REACH)
    return next((seq for seq in around if _is_sound(entry, seq)), None)
