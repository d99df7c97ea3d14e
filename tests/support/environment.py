"""A complete environment for the bot, with nothing of this machine's."""

COMPLETE = {
    "SLACK_BOT_TOKEN": "xoxb-secret",
    "SLACK_SIGNING_SECRET": "signing-secret",
    "APPROVER_CHANNEL": "C0ONCALL",
    "ENTRA_TENANT_ID": "11111111-2222-4333-8444-555555555555",
    "ENTRA_CLIENT_ID": "c11e4700-0000-4000-8000-0000000000a1",
    "ENTRA_CLIENT_SECRET": "client-secret",
    "PUBLIC_URL": "https://unlatch.contoso.com",
    "VAULT_KEYS": "a2V5IG9mIHRoZSB0ZXN0cywgMzIgYnl0ZXMgbG9uZyE",
}
SECRETS = ("SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET", "ENTRA_CLIENT_SECRET", "VAULT_KEYS")
