"""One way to make a page: a template, who is reading, the moment, and a token for its forms."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote, unquote

from fastapi import Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from starlette.routing import Match

from server.refusal import Refusal
from server.rules import authority
from server.rules.authority import Role
from server.rules.remedy_money import amount_words
from server.service.refusals import refuse
from server.store.remedies import StoredRemedy
from server.web.auth import caller_of
from server.web.deps import house_of
from server.web.pages import words

_HERE: Final = Path(__file__).resolve().parent.parent
# A form has a few fields of text; one page takes a file.
FIELDS_MAX: Final = 40
DONE: Final = "hearsight_done"
# Longer than a page takes to load; shorter than until the next thing is done.
DONE_S: Final = 20


@pass_context
def _moment(context: Context, moment: datetime | None) -> Markup:
    """Both ways to say a time: how long ago, and when."""
    if moment is None:
        return Markup("–")
    now, zone = context["now"], context["zone"]
    return Markup('<time datetime="{}">{} <small>({})</small></time>').format(
        moment.isoformat(), words.ago(moment, now), words.clock(moment, now, zone)
    )


@pass_context
def _clock(context: Context, moment: datetime) -> Markup:
    """The time alone, for tables that are already in order of time."""
    said = words.clock(moment, context["now"], context["zone"])
    return Markup('<time datetime="{}">{}</time>').format(moment.isoformat(), said)


@pass_context
def _hour(context: Context, start: datetime | None) -> Markup:
    """A time that is told to the hour only: how many minutes ago it was, nobody said."""
    if start is None:
        return Markup("–")
    said = words.hour(start, context["now"], context["zone"])
    return Markup('<time datetime="{}">{}</time>').format(start.isoformat(), said)


@pass_context
def _due(context: Context, moment: datetime) -> Markup:
    """A promised time; midnight is said as the end of a day."""
    said = words.due(moment, context["now"], context["zone"])
    return Markup('<time datetime="{}">{}</time>').format(moment.isoformat(), said)


@pass_context
def _token(context: Context) -> Markup:
    """The hidden field by which a form shows that it is ours."""
    return Markup('<input type="hidden" name="csrf" value="{}">').format(context["csrf"])


def _may_grant(role: Role, remedy: StoredRemedy) -> bool:
    """True if the role may agree to a remedy that waits; a button that only refuses helps nobody."""
    return authority.may(role, remedy.action, remedy.amount_minor).allowed


def _money(of: Any) -> str:
    """An amount with its currency: of a remedy, a payment, an order of a run, or a pair with these two names."""
    pair = of if isinstance(of, dict) else {"amount_minor": of.amount_minor, "currency": of.currency}
    return amount_words(pair["amount_minor"], pair["currency"])


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(token=_token, may_grant=_may_grant, who_grants=authority.who)
    made.filters.update(
        moment=_moment, clock=_clock, hour=_hour, due=_due, said=lambda word: str(word).replace("_", " ")
    )
    made.filters.update(money=_money)
    return made


TEMPLATES: Final = _environment()


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page. Times stand in the reader's zone, for strangers in the one that `zone` names (UTC)."""
    house, who = house_of(request), caller_of(request, must_be_ours=False)
    given: Mapping[str, Any] = {
        "who": who,
        "zone": who.zone if who else "UTC",
        "now": house.clock(),
        "csrf": getattr(request.state, "csrf", ""),
        "path": request.url.path,
        "ingest": None,
        "done": unquote(request.cookies.get(DONE, ""))[:200],
        **values,
    }
    answer = HTMLResponse(TEMPLATES.get_template(template).render(given), status)
    if DONE in request.cookies:
        answer.delete_cookie(DONE, path="/")
    return answer


def go(to: str, done: str = "") -> RedirectResponse:
    """After a form: read the next page, with a word about what was done.

    The word waits in a cookie: in the address it could be anybody's, and a page of ours would say it.
    """
    answer = RedirectResponse(to, status_code=303)
    if done:
        answer.set_cookie(DONE, quote(done), max_age=DONE_S, path="/", httponly=True, samesite="lax")
    return answer


def link_of(request: Request) -> str:
    """`?link=…` if the reader came by a customer's link: without an account there is no other way back to the order."""
    link = request.query_params.get("link", "")[:128]
    return f"?link={quote(link)}" if link else ""


async def _form_of(request: Request) -> dict[str, str]:
    """The fields of a form that one of our pages showed to this reader. Refusals: csrf.

    A signed-in reader's form carries the token of the session. Browsers also say where a form stood: a page of
    somebody else's is refused even where nobody is signed in (Origin would not do: our Referrer-Policy blanks it).
    """
    return (await _read_form(request, files=0)).fields


async def _form_with_file(request: Request) -> Uploaded:
    """The same with one file. Refusals: csrf."""
    return await _read_form(request, files=1)


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A form's fields, and its file if one was chosen."""

    fields: dict[str, str]
    file_name: str = ""
    content: bytes | None = None


async def _read_form(request: Request, *, files: int) -> Uploaded:
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise refuse("csrf")
    async with request.form(max_files=files, max_fields=FIELDS_MAX) as raw:
        fields = {name: value.strip() for name, value in raw.items() if isinstance(value, str)}
        chosen = next((each for each in raw.values() if not isinstance(each, str) and each.filename), None)
        content = await chosen.read() if chosen else None
    if any("\x00" in value for value in fields.values()):
        raise refuse("bad_request", detail="text without NUL, please")
    expected = getattr(request.state, "csrf", "")
    if expected and not hmac.compare_digest(fields.get("csrf", "").encode(), expected.encode()):
        raise refuse("csrf")
    name = "".join(each for each in (chosen.filename or "" if chosen else "") if each.isprintable())
    return Uploaded(fields, name, content)


# Stands behind the declaration of who may call: that one has found out who is asking.
Form = Annotated[dict[str, str], Depends(_form_of)]
FormWithFile = Annotated[Uploaded, Depends(_form_with_file)]


def render_refusal(request: Request, refusal: Refusal, status: int) -> Response:
    """A refusal as a page: what happened, what to do, and the way on. Whoever must sign in is led there."""
    if refusal.code == "sign_in_needed" and request.method == "GET":
        return go(f"/sign-in?next={quote(request.url.path)}")
    return page(request, "refusal.html", status=status, refusal=refusal, again=_again(request))


def _again(request: Request) -> str:
    """The page whose form was refused: at the form's own address, or at the thing's that it is about."""
    if request.method != "POST":
        return ""
    path = request.url.path
    for way in (path, path.rpartition("/")[0]):
        asked = {**request.scope, "method": "GET", "path": way}
        if way and any(route.matches(asked)[0] is Match.FULL for route in request.app.routes):
            return way + link_of(request)
    return ""


class _Static(StaticFiles):
    """Our few static files. The worker that shows messages may serve the whole site, not only /static."""

    def file_response(self, full_path: str | PathLike[str], *args: Any, **more: Any) -> Response:
        answer = super().file_response(full_path, *args, **more)
        if Path(full_path).name == "push-worker.js":
            answer.headers["Service-Worker-Allowed"] = "/"
        return answer


def install(app: FastAPI) -> None:
    """Let refusals outside of /api show as pages, and serve our few static files."""
    app.state.render_refusal = render_refusal
    app.mount("/static", _Static(directory=_HERE / "static"), name="static")
