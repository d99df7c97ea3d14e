"""An approver's browser: opens the private link, picks an account, comes back, and says yes or no."""

import re
from html import unescape
from urllib.parse import urljoin

import httpx
from sandbox.cast import DEFAULT_CAST

MEI_ACCOUNT, KEN_ACCOUNT, AIKO_ACCOUNT, OLGA_ACCOUNT, KEN_AT_FABRIKAM = (
    account.oid for account in DEFAULT_CAST.accounts
)
NOBODY = "nobody"


class Browser:
    """One browser, without scripts."""

    def __init__(self) -> None:
        self.http = httpx.AsyncClient(timeout=10)

    async def sign_in(self, link: str, account: str) -> httpx.Response:
        """The whole way, from the link to the page at its end; a page that asks is told yes."""
        return await self.confirm(await self.arrive(link, account))

    async def arrive(self, link: str, account: str) -> httpx.Response:
        """As far as the page that asks whether both are the same person, or says why not."""
        return await self.come_back(*await self.answer_of_microsoft(link, account))

    async def confirm(self, page: httpx.Response, answer: str = "yes") -> httpx.Response:
        """Press a button of the page, where it has one."""
        found = re.findall(r'<form method="post" action="([^"]+)"', page.text)
        if not found:
            return page
        [secret] = re.findall(r'name="page" value="([^"]+)"', page.text)
        form = {"page": unescape(secret), "answer": answer}
        return await self.http.post(urljoin(str(page.url), unescape(found[0])), data=form)

    async def answer_of_microsoft(self, link: str, account: str) -> tuple[str, dict[str, str]]:
        """As far as Microsoft's page that sends the browser back: where to, and with what."""
        page = await self.http.get(link)
        assert page.status_code == 303, page.text
        return await self.pick(page.headers["location"], account)

    async def pick(self, url: str, account: str) -> tuple[str, dict[str, str]]:
        """Pick an account on Microsoft's page: where it sends the browser, and with what."""
        answer = await self.picked(url, account)
        [back] = re.findall(r'action="([^"]+)"', answer.text)
        fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', answer.text)
        return unescape(back), {name: unescape(value) for name, value in fields}

    async def picked(self, url: str, account: str) -> httpx.Response:
        """Microsoft's answer to the picked account."""
        picker = await self.http.get(url)
        [flow] = re.findall(r'name="flow" value="([^"]+)"', picker.text)
        [action] = re.findall(r'<form method="post" action="([^"]+)"', picker.text)
        form = {"flow": unescape(flow), "account": account}
        return await self.http.post(urljoin(url, unescape(action)), data=form)

    async def come_back(self, callback: str, fields: dict[str, str]) -> httpx.Response:
        """Carry Microsoft's answer to the bot."""
        return await self.http.post(callback, data=fields)
