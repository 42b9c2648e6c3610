"""Lots and manifests: what is kept, what is refused and named with its line, and that twice changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine

from server import wiring
from server.refusal import Refusal
from server.service import factory
from server.service.factory import Imported, LotFile, Outcome
from server.store import audit, db, keys, units
from server.store.crypto import Vault
from wire.keys import claim_hash
from wire.manifest import Header, Unit, encode_manifest
from wire.signing import Domain, sign

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
VAULT = Vault(b"k" * 32, wiring.dice)
FACTORY = Ed25519PrivateKey.generate()
FACTORY_PUBLIC = FACTORY.public_key().public_bytes_raw().hex()
LOT = LotFile("lot-1", "11" * 16, "ff" * 16, FACTORY_PUBLIC)


@pytest.fixture
def ready(engine: Engine) -> Engine:
    """A server that knows the lot and trusts the factory."""
    with db.transaction(engine) as tx:
        assert factory.import_lot(tx, VAULT, LOT, NOW, actor="cli")
    return engine


def unit(serial: int, key: int | None = None, code: int | None = None) -> Unit:
    public = hashlib.sha256(b"key %d" % (serial if key is None else key)).hexdigest()
    hashed = claim_hash((serial if code is None else code).to_bytes(16, "big")).hex()
    return Unit(serial, public, hashed, model="m")


def manifest(rows: Sequence[Unit], name: str = "m-1", lot: str = "lot-1", key: Ed25519PrivateKey = FACTORY) -> bytes:
    return encode_manifest(Header(name, lot, NOW, len(rows)), rows, key)


def signed(lines: Sequence[bytes], name: str = "m-1", count: int | None = None) -> bytes:
    """A manifest with any lines at all, signed as the factory would."""
    header = msgspec.json.encode(Header(name, "lot-1", NOW, len(lines) if count is None else count))
    body = b"".join(line + b"\n" for line in (header, *lines))
    signature = sign(FACTORY, Domain.MANIFEST, hashlib.sha256(body).digest())[:64]
    return body + b'{"signature":"' + signature.hex().encode() + b'"}\n'


def import_it(engine: Engine, file: bytes, *, dry_run: bool = False) -> Imported:
    with db.transaction(engine) as tx:
        return factory.import_manifest(tx, wiring.dice, file, NOW, actor="cli", dry_run=dry_run)


def counts(done: Imported) -> tuple[int, int, int]:
    return done.count(Outcome.ADDED), done.count(Outcome.KNOWN), done.count(Outcome.REFUSED)


def code_of(work: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as refused:
        work()
    return refused.value.code


def test_a_manifest_and_the_same_again(ready: Engine) -> None:
    file = manifest([unit(n) for n in range(2_500)])
    assert counts(import_it(ready, file, dry_run=True)) == (2_500, 0, 0)
    assert counts(import_it(ready, file)) == (2_500, 0, 0)
    assert counts(import_it(ready, file)) == (0, 2_500, 0)
    with db.transaction(ready) as tx:
        kept = units.of_lot(tx, "lot-1")
        assert units.all_lots(tx)[0].units == 2_500
        assert [entry.action for entry in audit.of_subject(tx, "manifest:m-1")] == ["manifest_imported"]
    assert [each.serial for each in kept] == list(range(2_500))
    assert len({each.found_code for each in kept}) == 2_500
    assert all(len(each.found_code) == 10 for each in kept)
    assert [each.found_code for each in kept] != sorted(each.found_code for each in kept)


def test_a_dry_run_keeps_nothing(ready: Engine) -> None:
    import_it(ready, manifest([unit(1)]), dry_run=True)
    with db.transaction(ready) as tx:
        assert units.of_lot(tx, "lot-1") == ()
        assert units.manifest_sha256(tx, "m-1") is None


def test_malformed_rows_are_named_with_their_line_and_kept_out(ready: Engine) -> None:
    good = [msgspec.json.encode(unit(n)) for n in range(3)]
    bad = [b"{", b"", b"\xff\xfe", b'{"serial": 1}', good[0][:-1] + b',"x":1}', b'{"serial":-1}', b"[" * 2_000]
    lines = [good[0], *bad[:3], good[1], *bad[3:], good[2]]
    done = import_it(ready, signed(lines))
    assert counts(done) == (3, 0, len(bad))
    assert [row.line for row in done.refused] == [3, 4, 5, 7, 8, 9, 10]
    assert {row.code for row in done.refused} == {"manifest_row"}
    with db.transaction(ready) as tx:
        assert [each.serial for each in units.of_lot(tx, "lot-1")] == [0, 1, 2]


def test_a_changed_key_is_refused_and_the_first_stays(ready: Engine) -> None:
    import_it(ready, manifest([unit(1), unit(2)]))
    changed = [unit(1, key=99), unit(2, code=99), unit(3), unit(2)]
    done = import_it(ready, manifest(changed, "m-2"))
    assert [(row.line, row.serial, row.code) for row in done.refused] == [
        (2, 1, "manifest_conflict"), (3, 2, "manifest_conflict"),
    ]  # fmt: skip
    assert counts(done) == (1, 1, 2)
    with db.transaction(ready) as tx:
        assert units.by_serials(tx, [1])[1].public_key.hex() == unit(1).public_key


def test_conflicts_inside_one_file(ready: Engine) -> None:
    rows = [unit(1), unit(1), unit(1, key=5), unit(2, code=1)] + [unit(n) for n in range(10, 1_200)] + [unit(10, key=5)]
    done = import_it(ready, manifest(rows))
    assert [(row.line, row.code) for row in done.refused] == [
        (4, "manifest_conflict"), (5, "claim_code_twice"), (len(rows) + 1, "manifest_conflict"),
    ]  # fmt: skip
    assert done.count(Outcome.KNOWN) == 1


def test_the_claim_code_of_another_unit_is_refused(ready: Engine) -> None:
    import_it(ready, manifest([unit(1)]))
    done = import_it(ready, manifest([unit(2, code=1)], "m-2"))
    assert [row.code for row in done.refused] == ["claim_code_twice"]


def test_a_serial_does_not_change_its_lot(ready: Engine) -> None:
    import_it(ready, manifest([unit(1)]))
    with db.transaction(ready) as tx:
        factory.import_lot(tx, VAULT, LotFile("lot-2", "22" * 16, "ff" * 16), NOW, actor="cli")
    assert [row.code for row in import_it(ready, manifest([unit(1)], "m-2", "lot-2")).refused] == ["manifest_conflict"]


def test_files_that_are_refused_as_a_whole(ready: Engine) -> None:
    good = manifest([unit(1), unit(2)])
    stranger = Ed25519PrivateKey.generate()
    for file, code in (
        (b"", "manifest_shape"),
        (b"\x00" * 100, "manifest_shape"),
        (good[:-20], "manifest_shape"),
        (good.replace(b'"serial":1', b'"serial":7'), "manifest_signature"),
        (manifest([unit(1)], key=stranger), "manifest_signature"),
        (signed([msgspec.json.encode(unit(1))], count=2), "manifest_count"),
        (manifest([unit(1)], lot="lot-9"), "lot_unknown"),
        (b"x" * (factory.MAX_MANIFEST_BYTES + 1), "manifest_shape"),
    ):
        assert code_of(lambda file=file: import_it(ready, file)) == code  # type: ignore[misc]
    import_it(ready, good)
    assert code_of(lambda: import_it(ready, manifest([unit(3)]))) == "manifest_conflict"
    with db.transaction(ready) as tx:
        assert [each.serial for each in units.of_lot(tx, "lot-1")] == [1, 2]


def test_lots(ready: Engine) -> None:
    with db.transaction(ready) as tx:
        assert not factory.import_lot(tx, VAULT, LOT, NOW, actor="cli")
        assert [(lot.lot, lot.k_lot.hex()) for lot in keys.live_lots(tx, VAULT)] == [("lot-1", "11" * 16)]
        assert keys.k_factory(tx, VAULT) == b"\xff" * 16
    for lot, code in (
        (LotFile("lot-1", "12" * 16, "ff" * 16), "lot_conflict"),
        (LotFile("lot-2", "22" * 16, "fe" * 16), "k_factory_conflict"),
        (LotFile("lot-2", "22" * 16, "ff" * 16, "ab" * 32), "factory_key_new"),
    ):
        with db.transaction(ready) as tx:
            assert code_of(lambda lot=lot: factory.import_lot(tx, VAULT, lot, NOW, actor="cli")) == code  # type: ignore[misc]
    with db.transaction(ready) as tx:
        factory.retire_lot(tx, "lot-1", NOW, actor="cli")
        assert keys.live_lots(tx, VAULT) == ()
        assert keys.lot_key(tx, VAULT, "lot-1") == b"\x11" * 16
        assert code_of(lambda: factory.retire_lot(tx, "lot-1", NOW, actor="cli")) == "lot_unknown"


def test_trust_is_given_by_a_person(ready: Engine) -> None:
    other = Ed25519PrivateKey.generate()
    file = manifest([unit(1)], key=other)
    assert code_of(lambda: import_it(ready, file)) == "manifest_signature"
    with db.transaction(ready) as tx:
        raw = other.public_key().public_bytes_raw().hex()
        assert factory.trust_factory_key(tx, raw, "second line", NOW, actor="cli")
        assert not factory.trust_factory_key(tx, raw, "second line", NOW, actor="cli")
        for wrong in ("", "zz", "ab" * 31):
            work = lambda wrong=wrong: factory.trust_factory_key(tx, wrong, "x", NOW, actor="cli")  # noqa: E731
            assert code_of(work) == "factory_key_invalid"
    assert counts(import_it(ready, file)) == (1, 0, 0)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"lot":"x","k_lot":"1","k_factory":"2"}', b"\xff"])
def test_no_lot_file(content: bytes) -> None:
    assert code_of(lambda: factory.read_lot_file(content)) == "lot_file_invalid"


def test_the_simulated_factorys_papers_are_read(ready: Engine, tmp_path) -> None:
    """Both sides of the paper: what the factory writes is what the server reads."""
    from firmware_sim.factory import LOT as LOT_NAME
    from firmware_sim.factory import MANIFEST, Order, make_lot

    make_lot(tmp_path / "lot", Order("lot-sim", 5, 100, "http://x"), wiring.dice, NOW)
    lot = factory.read_lot_file((tmp_path / "lot" / LOT_NAME).read_bytes())
    assert len(lot.k_lot) == 32
    file = (tmp_path / "lot" / MANIFEST).read_bytes()
    with db.transaction(ready) as tx:
        tx.exec_driver_sql("delete from secrets")
        tx.exec_driver_sql("delete from factory_keys")
        factory.import_lot(tx, VAULT, lot, NOW, actor="cli")
    assert counts(import_it(ready, file)) == (5, 0, 0)
