"""The vault: what is sealed for one opens for no other."""

import base64

import pytest
from bot.entra.vault import BadKey, CannotOpen, Vault, new_key
from hypothesis import given
from hypothesis import strategies as st

OLD, NEW = new_key(), new_key()
KENS = ("cache", "tenant", "oid", "U0KEN")


@given(content=st.binary(max_size=300), bound_to=st.lists(st.text(max_size=20), max_size=4))
def test_what_is_sealed_opens_again(content: bytes, bound_to: list[str]) -> None:
    vault = Vault([NEW])

    assert vault.open(vault.seal(content, bound_to=tuple(bound_to)), bound_to=tuple(bound_to)) == content


@pytest.mark.parametrize(
    "other",
    [
        ("cache", "tenant", "oid", "U0AIKO"),
        ("cache", "tenant", "other", "U0KEN"),
        ("cache", "other", "oid", "U0KEN"),
        ("flow", "tenant", "oid", "U0KEN"),
        ("cache", "tenant", "oidU", "0KEN"),
        (),
    ],
)
def test_nothing_opens_for_another_person_or_purpose(other: tuple[str, ...]) -> None:
    vault = Vault([NEW])
    sealed = vault.seal(b"tokens", bound_to=KENS)

    with pytest.raises(CannotOpen):
        vault.open(sealed, bound_to=other)


def test_a_changed_byte_anywhere_does_not_open() -> None:
    vault = Vault([NEW])
    sealed = vault.seal(b"tokens", bound_to=KENS)

    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(CannotOpen):
            vault.open(bytes(changed), bound_to=KENS)


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01" * 17, b"\x02" * 60])
def test_what_was_never_sealed_does_not_open(sealed: bytes) -> None:
    with pytest.raises(CannotOpen):
        Vault([NEW]).open(sealed, bound_to=KENS)


def test_the_same_content_is_never_sealed_alike() -> None:
    vault = Vault([NEW])

    assert len({vault.seal(b"tokens", bound_to=KENS) for _ in range(100)}) == 100


def test_an_older_key_still_opens_and_the_newest_seals() -> None:
    sealed = Vault([OLD]).seal(b"tokens", bound_to=KENS)
    both = Vault.parse(f"{NEW}, {OLD}")

    assert both.open(sealed, bound_to=KENS) == b"tokens"
    assert both.key_id == Vault([NEW]).key_id
    with pytest.raises(CannotOpen):
        Vault([OLD]).open(both.seal(b"tokens", bound_to=KENS), bound_to=KENS)


def test_a_key_is_32_bytes_and_its_name_8_digits() -> None:
    assert len(base64.urlsafe_b64decode(new_key() + "=")) == 32
    assert new_key() != new_key()
    assert len(Vault([new_key()]).key_id) == 8
    int(Vault([NEW]).key_id, 16)


@pytest.mark.parametrize(
    "keys", ["", " , ", "short", "ä" * 43, new_key()[:-1], f"{NEW},{NEW}x", new_key() * 2]
)
def test_a_key_that_is_none_is_refused_without_repeating_it(keys: str) -> None:
    with pytest.raises(BadKey) as caught:
        Vault.parse(keys)

    assert all(len(part) < 5 or part not in str(caught.value) for part in keys.split(","))
    assert caught.value.__cause__ is None


def test_no_key_is_in_any_text_of_the_vault() -> None:
    vault = Vault([NEW])

    assert NEW not in f"{vault!r} {vars(vault)}"
