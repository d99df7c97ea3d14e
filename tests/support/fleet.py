"""The phones of the sandbox, and the app that was found on some of them."""

from sandbox.data import load

PHONES = [device["id"] for device in load("fleet.json")["devices"]]
IPHONE, PIXEL, GALAXY, IPAD, OWN_PHONE, LAPTOP, UNSEEN, SCANNER = PHONES
FIELD_APP = "b7a3c915-2e4f-4d60-9c18-0f1e2d3c4b5a"
