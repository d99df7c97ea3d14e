"""The vault: what is sealed for one purpose and person opens for no other."""

import pytest
from bot.entra.vault import Vault, key_id, key_of
from hypothesis import given
from hypothesis import strategies as st

OLD, NEW = b"o" * 32, b"n" * 32
KENS = ("cache", "tenant", "oid", "U0KEN")
VAULT = Vault([NEW])
SEALED = VAULT.seal(b"tokens", KENS)


@given(content=st.binary(max_size=300), associated=st.lists(st.text(max_size=20), max_size=4))
def test_what_is_sealed_opens_again_and_is_never_sealed_alike(content, associated):
    sealed = VAULT.seal(content, tuple(associated))
    assert VAULT.open(sealed, tuple(associated)) == content
    assert VAULT.seal(content, tuple(associated)) != sealed


@pytest.mark.parametrize(
    "other",
    [
        *(("cache", "tenant", "oid", "U0AIKO"), ("cache", "tenant", "other", "U0KEN")),
        *(("cache", "other", "oid", "U0KEN"), ("flow", "tenant", "oid", "U0KEN")),
        *(("cache", "tenant", "oidU", "0KEN"), ()),
    ],
)
def test_nothing_opens_for_another_person_or_purpose(other):
    assert not VAULT.opens(SEALED, other)


def test_what_was_changed_in_any_byte_or_never_sealed_does_not_open():
    changed = [SEALED[:at] + bytes([SEALED[at] ^ 1]) + SEALED[at + 1 :] for at in range(len(SEALED))]
    assert not any(VAULT.opens(one, KENS) for one in (*changed, b"", b"\x01", b"\x01" * 17, b"\x02" * 60))


def test_an_older_key_still_opens_and_the_newest_seals():
    both = Vault([NEW, OLD])
    assert both.open(Vault([OLD]).seal(b"tokens", KENS), KENS) == b"tokens"
    sealed = both.seal(b"tokens", KENS)
    assert key_of(sealed) == both.key_id == key_id(NEW)
    assert not Vault([OLD]).opens(sealed, KENS)


def test_a_key_goes_by_the_beginning_of_its_sha_256_and_is_in_no_text():
    assert key_id(b"\x00" * 32) == "66687aad"
    assert repr(NEW) not in f"{VAULT!r} {vars(VAULT)}"
