"""Pages for people: the same services as the API, as HTML that works without JavaScript."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI

from server.web.pages import compose, contacts, imports, lists, owner, public, remedies, render, session, support


def install(app: FastAPI) -> None:
    """Add every page, and let refusals outside of /api show as pages."""
    pages = APIRouter()
    for chapter in (session, owner, public, contacts, support, compose, lists, remedies, imports):
        pages.include_router(chapter.router)
    app.include_router(pages)
    render.install(app)
