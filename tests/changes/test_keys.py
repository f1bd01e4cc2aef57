"""Key folders: made, rotated and retired; trusted sets follow their file."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from gate.changes.envelope import seal, unseal
from gate.changes.errors import Cause, SyncError
from gate.changes.keys import KeyStore, KeyStoreError, TrustedKeys
from gate.changes.verifier import Verifier
from gate.cli.keys import keys as keys_command

TYPE = "text/x"


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys")


def test_a_private_key_is_its_owners_only(store: KeyStore) -> None:
    key = store.new()
    private = store.folder / f"{key.keyid}.pem"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    assert private.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert b"PRIVATE" not in store.public_path.read_bytes()


def test_rotation_never_leaves_a_gate_behind(store: KeyStore, tmp_path: Path) -> None:
    old = store.new()
    gate = tmp_path / "public.json"
    gate.write_bytes(store.public_path.read_bytes())
    trusted = TrustedKeys(gate)

    def reaches_the_gate() -> bool:
        try:
            return (
                unseal(seal(b"x", TYPE, store.signers()), TYPE, trusted.current(), limit=9999)
                == b"x"
            )
        except SyncError:
            return False

    assert reaches_the_gate()
    store.new()
    assert reaches_the_gate(), "the old key signs, too"
    gate.write_bytes(store.public_path.read_bytes())
    store.retire(old.keyid[:8])
    assert reaches_the_gate(), "the new key is trusted by now"
    gate.write_bytes(store.public_path.read_bytes())
    assert [key.keyid for key in trusted.current()] != [old.keyid]
    assert not (store.folder / f"{old.keyid}.pem").exists()


def test_a_gate_that_lacks_the_new_key_refuses_it(store: KeyStore, tmp_path: Path) -> None:
    old = store.new()
    gate = tmp_path / "public.json"
    gate.write_bytes(store.public_path.read_bytes())
    store.new()
    store.retire(old.keyid)
    sealed = seal(b"x", TYPE, store.signers())
    with pytest.raises(SyncError) as caught:
        unseal(sealed, TYPE, TrustedKeys(gate).current(), limit=9999)
    assert caught.value.cause is Cause.UNKNOWN_KEY
    assert "public.json" in str(caught.value)


def test_the_only_key_is_not_retired_by_accident(store: KeyStore) -> None:
    key = store.new()
    with pytest.raises(KeyStoreError, match="gate keys new"):
        store.retire(key.keyid)
    store.retire(key.keyid, last=True)
    assert store.list() == []
    with pytest.raises(KeyStoreError, match="gate keys new"):
        store.signers()


@pytest.mark.parametrize("prefix", ["", "zz", "../x"])
def test_a_prefix_that_names_no_key_retires_none(store: KeyStore, prefix: str) -> None:
    store.new()
    store.new()
    with pytest.raises(KeyStoreError):
        store.retire(prefix)
    assert len(store.list()) == 2


def test_a_broken_private_key_is_named(store: KeyStore) -> None:
    key = store.new()
    other = KeyStore(store.folder / "other")
    path = store.folder / f"{key.keyid}.pem"
    path.write_bytes(b"junk")
    with pytest.raises(KeyStoreError, match=key.keyid):
        store.signers()
    path.write_bytes((other.folder / f"{other.new().keyid}.pem").read_bytes())
    with pytest.raises(KeyStoreError, match=key.keyid):
        store.signers()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"keys": [{}]}',
        '{"keys": [], "more": 1}',
        json.dumps({"keys": [{"keyid": "../../x", "keytype": "ed25519", "scheme": "ed25519"}]}),
    ],
)
def test_a_file_that_is_no_key_set_trusts_nobody(tmp_path: Path, text: str) -> None:
    path = tmp_path / "public.json"
    path.write_text(text)
    with pytest.raises(KeyStoreError, match=r"public\.json"):
        TrustedKeys(path).current()


def test_a_file_that_breaks_leaves_the_trusted_keys(store: KeyStore) -> None:
    key = store.new()
    trusted = TrustedKeys(store.public_path)
    assert [found.keyid for found in trusted.current()] == [key.keyid]
    store.public_path.write_text("{")
    assert [found.keyid for found in trusted.current()] == [key.keyid]
    store.public_path.unlink()
    assert [found.keyid for found in trusted.current()] == [key.keyid]


def test_without_a_key_file_everything_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SyncError) as caught:
        Verifier(tmp_path / "none.json").batch(b"{}")
    assert caught.value.cause is Cause.UNKNOWN_KEY


def test_the_commands(tmp_path: Path) -> None:
    folder = str(tmp_path / "keys")

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(keys_command, [arguments[0], "--dir", folder, *arguments[1:]])
        return result.exit_code, result.output

    assert "no keys in" in run("list")[1]
    code, made = run("new")
    assert code == 0
    first = made.splitlines()[0]
    assert run("list", "--json")[1].count('"keyid"') == 1
    code, text = run("retire", first)
    assert code == 1
    assert "only key" in text
    run("new")
    assert run("retire", first[:10])[0] == 0
    assert first not in run("list")[1]
