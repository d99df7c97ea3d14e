"""VAULT_KEYS: read strictly, shown never, and the audit log's keys apart from the vault's."""

import pytest
from bot.keys import BadKey, Keys, new_key, parse_public_key


def test_keys_are_read_newest_first_and_shown_never():
    texts = [new_key() for _ in range(3)]
    keys = Keys.parse(f" {texts[0]} ,{texts[1]},{texts[2]}")
    assert [len(key) for key in keys.vault] == [32] * 3
    assert (keys.vault[1:], repr(keys)) == (Keys.parse(f"{texts[1]},{texts[2]}").vault, "Keys(3)")


@pytest.mark.parametrize("text", ["", ",", "short", "A" * 44, "é" * 43, f"{'A' * 43},x"])
def test_what_is_no_key_is_refused_without_being_repeated(text: str):
    with pytest.raises(BadKey) as refused:
        Keys.parse(text)
    assert text.strip(",") == "" or text not in str(refused.value)


def test_signing_keys_are_derived_one_way_and_differ_from_the_vaults():
    keys = Keys.parse(new_key())
    assert keys.signing_seeds == Keys(keys.vault).signing_seeds
    assert keys.signing_seeds[0] != keys.vault[0]
    assert keys.public_keys[0].startswith("ed25519:")
    assert len(parse_public_key(keys.public_keys[0])) == 32
    with pytest.raises(BadKey, match="a public key is not 32 bytes"):
        parse_public_key("ed25519:x")
