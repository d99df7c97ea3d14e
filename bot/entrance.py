"""How approvers get in, built from the settings: the vault, Microsoft's client, and one of the two ways."""

from dataclasses import dataclass

from bot.domain.clouds import ENDPOINTS
from bot.domain.sign_in import FRESH_FOR
from bot.entra import Authority, Credential, EntraClient, EntraCodes, EntraLinks, EntraSignIns, Vault
from bot.ports import Clock
from bot.settings import Settings
from bot.store import Store


class CannotStart(Exception):
    """What has to be put right before Unlatch can run, as a sentence for the installer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """The kept sign-ins, and the way to a new one."""

    sign_ins: EntraSignIns
    way: EntraLinks | EntraCodes


def entrance(settings: Settings, store: Store, clock: Clock, client: EntraClient) -> Entrance:
    """Links for a browser, or device codes; raises CannotStart."""
    vault = vault_of(settings)
    sign_ins = EntraSignIns(
        client, vault, store.tickets, store.sign_ins, clock, max_age=settings.sign_in_max_age
    )
    if settings.public_url is None or settings.sign_in == "device-code":
        return Entrance(sign_ins=sign_ins, way=EntraCodes(client, vault, store.codes, clock))
    links = EntraLinks(client, vault, store.tickets, clock, public_url=settings.public_url)
    return Entrance(sign_ins=sign_ins, way=links)


def vault_of(settings: Settings) -> Vault:
    """The vault with the keys of `VAULT_KEYS`; raises CannotStart."""
    try:
        return Vault.parse(settings.vault_keys.get_secret_value())
    except ValueError as error:
        raise CannotStart(f"VAULT_KEYS cannot be used: {error}.") from None


def entra_client(settings: Settings) -> EntraClient:
    """Microsoft Entra as it is set up; raises CannotStart."""
    cloud = ENDPOINTS[settings.cloud]
    try:
        return EntraClient(
            Authority.parse(settings.entra_authority or cloud.authority(settings.entra_tenant_id)),
            tenant=settings.entra_tenant_id,
            client_id=settings.entra_client_id,
            credential=_credential(settings),
            scopes=cloud.scopes,
            fresh_within=FRESH_FOR if settings.fresh_sign_in else None,
        )
    except (ValueError, OSError) as error:
        raise CannotStart(f"Microsoft Entra cannot be used as it is set up: {error}.") from None


def _credential(settings: Settings) -> Credential | None:
    """None for device codes: only a public client may use them."""
    if settings.sign_in == "device-code":
        return None
    if settings.entra_client_certificate is not None:
        return Credential.certificate(settings.entra_client_certificate.read_text())
    secret = settings.entra_client_secret
    return Credential.secret(secret.get_secret_value() if secret else "")
