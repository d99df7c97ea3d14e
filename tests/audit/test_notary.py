"""The notary and the witness: what one signs the other believes, and nothing else."""

import base64
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from bot.domain.chain import Tip
from bot.domain.examination import Trust
from bot.entra import new_key
from bot.notary import PREFIX, Notary, Witness
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
TIP = Tip(7, "a" * 64)
OLD, NEW = new_key(), new_key()


def test_a_head_says_what_it_signs_and_when_and_by_which_key():
    head = Notary([NEW]).sign(TIP, NOON)

    assert (head.seq, head.hash, head.at) == (7, "a" * 64, "2026-03-02T12:00:00.000000Z")
    assert len(head.key) == 16
    assert Witness(Notary([NEW]).public_keys).trust(head) is Trust.GOOD


@pytest.mark.parametrize(
    "change",
    [{"seq": 8}, {"hash": "b" * 64}, {"at": "2026-03-02T12:00:01.000000Z"}, {"signature": ""}]
    + [{"signature": text} for text in ("é", "YQ==", base64.b64encode(b"x" * 64).decode())],
)
def test_a_head_that_was_changed_is_not_believed(change):
    notary = Notary([NEW])

    assert Witness(notary.public_keys).trust(replace(notary.sign(TIP, NOON), **change)) is Trust.BAD


def test_the_newest_key_signs_and_every_key_is_believed():
    before, after = Notary([OLD]), Notary([NEW, OLD])
    witness = Witness(after.public_keys)

    assert after.public_keys == [*Notary([NEW]).public_keys, *before.public_keys]
    assert after.sign(TIP, NOON) == Notary([NEW]).sign(TIP, NOON)
    assert witness.trust(before.sign(TIP, NOON)) is witness.trust(after.sign(TIP, NOON)) is Trust.GOOD


def test_a_key_that_is_not_known_is_said_to_be_so():
    assert Witness(Notary([NEW]).public_keys).trust(Notary([OLD]).sign(TIP, NOON)) is Trust.UNKNOWN


def test_another_keys_signature_under_a_known_name_is_not_believed():
    forged = replace(Notary([OLD]).sign(TIP, NOON), key=Notary([NEW]).sign(TIP, NOON).key)

    assert Witness(Notary([NEW]).public_keys).trust(forged) is Trust.BAD


def test_a_public_key_is_not_the_vaults_own():
    """What is printed for auditors opens nothing, and the vault's bytes themselves sign nothing."""
    [public] = Notary([NEW]).public_keys

    of_the_bytes = Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(f"{NEW}=")).public_key()

    assert public.startswith(PREFIX)
    assert base64.urlsafe_b64decode(f"{public.removeprefix(PREFIX)}=") != of_the_bytes.public_bytes_raw()
    assert public.removeprefix(PREFIX) != NEW


@pytest.mark.parametrize("key", ["", "ed25519:", "ed25519:abc", "é" * 43, "a" * 64])
def test_what_is_no_public_key_is_said_without_repeating_it(key):
    with pytest.raises(ValueError, match="public key is not 32 bytes") as refused:
        Witness([key])

    assert not key or key not in str(refused.value)


def test_what_is_no_vault_key_is_said_without_repeating_it():
    with pytest.raises(ValueError, match="VAULT_KEYS is not 32 bytes") as refused:
        Notary([NEW, "hunter2"])

    assert "hunter2" not in str(refused.value)
